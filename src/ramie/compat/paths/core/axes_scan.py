"""``core.axes_scan`` is `ramie.core.lift.axes_scan`."""

import sys
from typing import TYPE_CHECKING

from ramie.core.lift import axes_scan as _module

if TYPE_CHECKING:
    from ramie.core.lift.axes_scan import *

sys.modules[__name__] = _module
