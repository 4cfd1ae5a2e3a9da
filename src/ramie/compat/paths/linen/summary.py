"""``linen.summary`` is `ramie.linen.inspection.summary`."""

import sys
from typing import TYPE_CHECKING

from ramie.linen.inspection import summary as _module

if TYPE_CHECKING:
    from ramie.linen.inspection.summary import *

sys.modules[__name__] = _module
