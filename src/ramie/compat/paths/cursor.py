"""``cursor`` is `ramie.trees.cursor`."""

import sys
from typing import TYPE_CHECKING

from ramie.trees import cursor as _module

if TYPE_CHECKING:
    from ramie.trees.cursor import *

sys.modules[__name__] = _module
