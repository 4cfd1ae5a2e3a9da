"""``core.variables`` is `ramie.core.scope.variables`."""

import sys
from typing import TYPE_CHECKING

from ramie.core.scope import variables as _module

if TYPE_CHECKING:
    from ramie.core.scope.variables import *

sys.modules[__name__] = _module
