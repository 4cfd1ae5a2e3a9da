"""``linen.batch_apply`` is `ramie.linen.transforms.batch_apply`."""

import sys
from typing import TYPE_CHECKING

from ramie.linen.transforms import batch_apply as _module

if TYPE_CHECKING:
    from ramie.linen.transforms.batch_apply import *

sys.modules[__name__] = _module
