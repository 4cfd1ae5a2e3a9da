"""``core.nn.attention`` is `ramie.linen.scoped.attention`."""

import sys
from typing import TYPE_CHECKING

from ramie.linen.scoped import attention as _module

if TYPE_CHECKING:
    from ramie.linen.scoped.attention import *

sys.modules[__name__] = _module
