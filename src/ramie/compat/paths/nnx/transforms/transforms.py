"""``nnx.transforms.transforms`` is `ramie.nnx.transforms.flow.control`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.transforms.flow import control as _module

if TYPE_CHECKING:
    from ramie.nnx.transforms.flow.control import *

sys.modules[__name__] = _module
