"""``nnx.deprecations`` is `ramie.foundation.deprecations`."""

import sys
from typing import TYPE_CHECKING

from ramie.foundation import deprecations as _module

if TYPE_CHECKING:
    from ramie.foundation.deprecations import *

sys.modules[__name__] = _module
