"""``version`` is `ramie.foundation.version`."""

import sys
from typing import TYPE_CHECKING

from ramie.foundation import version as _module

if TYPE_CHECKING:
    from ramie.foundation.version import *

sys.modules[__name__] = _module
