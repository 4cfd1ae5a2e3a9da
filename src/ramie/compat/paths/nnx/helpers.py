"""``nnx.helpers`` is `ramie.nnx.modules.containers`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.modules import containers as _module

if TYPE_CHECKING:
    from ramie.nnx.modules.containers import *

sys.modules[__name__] = _module
