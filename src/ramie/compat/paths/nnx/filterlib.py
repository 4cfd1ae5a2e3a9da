"""``nnx.filterlib`` is `ramie.nnx.states.filters`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.states import filters as _module

if TYPE_CHECKING:
    from ramie.nnx.states.filters import *

sys.modules[__name__] = _module
