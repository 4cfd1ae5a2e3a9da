"""``core.nn.linear`` is `ramie.linen.scoped.linear`."""

import sys
from typing import TYPE_CHECKING

from ramie.linen.scoped import linear as _module

if TYPE_CHECKING:
    from ramie.linen.scoped.linear import *

sys.modules[__name__] = _module
