"""``linen.spmd`` is `ramie.linen.sharding.spmd`."""

import sys
from typing import TYPE_CHECKING

from ramie.linen.sharding import spmd as _module

if TYPE_CHECKING:
    from ramie.linen.sharding.spmd import *

sys.modules[__name__] = _module
