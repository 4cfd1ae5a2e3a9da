"""``nnx.nn.attention`` is `ramie.nnx.layers.attention.multi_head`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.layers.attention import multi_head as _module

if TYPE_CHECKING:
    from ramie.nnx.layers.attention.multi_head import *

sys.modules[__name__] = _module
