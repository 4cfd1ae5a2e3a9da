"""``nnx.summary`` is `ramie.nnx.inspection.summary`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.inspection import summary as _module

if TYPE_CHECKING:
    from ramie.nnx.inspection.summary import *

sys.modules[__name__] = _module
