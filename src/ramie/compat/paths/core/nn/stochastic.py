"""``core.nn.stochastic`` is `ramie.linen.scoped.stochastic`."""

import sys
from typing import TYPE_CHECKING

from ramie.linen.scoped import stochastic as _module

if TYPE_CHECKING:
    from ramie.linen.scoped.stochastic import *

sys.modules[__name__] = _module
