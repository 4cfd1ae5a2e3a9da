"""``ids`` is `ramie.foundation.ids`."""

import sys
from typing import TYPE_CHECKING

from ramie.foundation import ids as _module

if TYPE_CHECKING:
    from ramie.foundation.ids import *

sys.modules[__name__] = _module
