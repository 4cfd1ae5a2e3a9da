"""``nnx.nn.initializers`` is `ramie.ops.initializers`."""

import sys
from typing import TYPE_CHECKING

from ramie.ops import initializers as _module

if TYPE_CHECKING:
    from ramie.ops.initializers import *

sys.modules[__name__] = _module
