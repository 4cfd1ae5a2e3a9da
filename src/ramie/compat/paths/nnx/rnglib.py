"""``nnx.rnglib`` is `ramie.nnx.randomness`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx import randomness as _module

if TYPE_CHECKING:
    from ramie.nnx.randomness import *

sys.modules[__name__] = _module
