"""``nnx.spmd`` is `ramie.nnx.sharding`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx import sharding as _module

if TYPE_CHECKING:
    from ramie.nnx.sharding import *

sys.modules[__name__] = _module
