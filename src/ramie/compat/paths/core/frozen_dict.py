"""``core.frozen_dict`` is `ramie.trees.frozen`."""

import sys
from typing import TYPE_CHECKING

from ramie.trees import frozen as _module

if TYPE_CHECKING:
    from ramie.trees.frozen import *

sys.modules[__name__] = _module
