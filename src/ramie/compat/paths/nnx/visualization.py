"""``nnx.visualization`` is `ramie.nnx.printing.visualization`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.printing import visualization as _module

if TYPE_CHECKING:
    from ramie.nnx.printing.visualization import *

sys.modules[__name__] = _module
