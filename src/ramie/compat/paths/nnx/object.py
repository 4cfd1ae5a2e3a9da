"""``nnx.object`` is `ramie.nnx.objects.pytree`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.objects import pytree as _module

if TYPE_CHECKING:
    from ramie.nnx.objects.pytree import *

sys.modules[__name__] = _module
