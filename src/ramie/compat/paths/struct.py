"""``struct`` is `ramie.trees.struct`."""

import sys
from typing import TYPE_CHECKING

from ramie.trees import struct as _module

if TYPE_CHECKING:
    from ramie.trees.struct import *

sys.modules[__name__] = _module
