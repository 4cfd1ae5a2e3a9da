"""``nnx.traversals`` is `ramie.nnx.states.traversals`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.states import traversals as _module

if TYPE_CHECKING:
    from ramie.nnx.states.traversals import *

sys.modules[__name__] = _module
