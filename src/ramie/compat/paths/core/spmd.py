"""``core.spmd`` is `ramie.core.sharding`."""

import sys
from typing import TYPE_CHECKING

from ramie.core import sharding as _module

if TYPE_CHECKING:
    from ramie.core.sharding import *

sys.modules[__name__] = _module
