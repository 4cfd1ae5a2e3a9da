"""``nnx.nn.lora`` is `ramie.nnx.layers.lora`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.layers import lora as _module

if TYPE_CHECKING:
    from ramie.nnx.layers.lora import *

sys.modules[__name__] = _module
