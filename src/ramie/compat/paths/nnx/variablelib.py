"""``nnx.variablelib`` is `ramie.nnx.variable`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx import variable as _module

if TYPE_CHECKING:
    from ramie.nnx.variable import *

sys.modules[__name__] = _module
