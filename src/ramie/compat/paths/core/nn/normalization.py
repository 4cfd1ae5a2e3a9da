"""``core.nn.normalization`` is `ramie.linen.scoped.normalization`."""

import sys
from typing import TYPE_CHECKING

from ramie.linen.scoped import normalization as _module

if TYPE_CHECKING:
    from ramie.linen.scoped.normalization import *

sys.modules[__name__] = _module
