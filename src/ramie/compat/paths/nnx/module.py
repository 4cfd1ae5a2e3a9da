"""``nnx.module`` is `ramie.nnx.modules.module`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.modules import module

if TYPE_CHECKING:
    from ramie.nnx.modules.module import *

sys.modules[__name__] = module
