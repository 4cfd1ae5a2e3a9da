"""``core.variables`` is `ramie.core.scope.collections`."""

import sys
from typing import TYPE_CHECKING

from ramie.core.scope import collections as _module

if TYPE_CHECKING:
    from ramie.core.scope.collections import *

sys.modules[__name__] = _module
