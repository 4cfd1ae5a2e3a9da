"""``nnx.object`` is `ramie.nnx.objects`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx import objects as _module

if TYPE_CHECKING:
    from ramie.nnx.objects import *

sys.modules[__name__] = _module
