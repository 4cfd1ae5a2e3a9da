"""``nnx.graphlib`` is `ramie.nnx.graph`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx import graph as _module

if TYPE_CHECKING:
    from ramie.nnx.graph import *

sys.modules[__name__] = _module
