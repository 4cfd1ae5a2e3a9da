"""``nnx.statelib`` is `ramie.nnx.states`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx import states as _module

if TYPE_CHECKING:
    from ramie.nnx.states import *

sys.modules[__name__] = _module
