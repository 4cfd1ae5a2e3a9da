"""``nnx.nn.dtypes`` is `ramie.nnx.layers.dtypes`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.layers import dtypes as _module

if TYPE_CHECKING:
    from ramie.nnx.layers.dtypes import *

sys.modules[__name__] = _module
