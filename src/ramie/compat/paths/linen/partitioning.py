"""``linen.partitioning`` is `ramie.linen.sharding.partitioning`."""

import sys
from typing import TYPE_CHECKING

from ramie.linen.sharding import partitioning as _module

if TYPE_CHECKING:
    from ramie.linen.sharding.partitioning import *

sys.modules[__name__] = _module
