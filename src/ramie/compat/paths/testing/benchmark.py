"""``testing.benchmark`` is `ramie.metrics.benchmark`."""

import sys
from typing import TYPE_CHECKING

from ramie.metrics import benchmark as _module

if TYPE_CHECKING:
    from ramie.metrics.benchmark import *

sys.modules[__name__] = _module
