"""``nnx.extract`` is `ramie.nnx.transforms.trees`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.transforms import trees as _module

if TYPE_CHECKING:
    from ramie.nnx.transforms.trees import *

sys.modules[__name__] = _module
