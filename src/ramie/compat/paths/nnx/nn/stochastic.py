"""``nnx.nn.stochastic`` is `ramie.nnx.layers.stochastic`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.layers import stochastic as _module

if TYPE_CHECKING:
    from ramie.nnx.layers.stochastic import *

sys.modules[__name__] = _module
