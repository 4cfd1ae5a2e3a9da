"""``io`` is `ramie.foundation.io`."""

import sys
from typing import TYPE_CHECKING

from ramie.foundation import io as _module

if TYPE_CHECKING:
    from ramie.foundation.io import *

sys.modules[__name__] = _module
