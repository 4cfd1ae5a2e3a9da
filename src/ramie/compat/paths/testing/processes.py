"""``testing.processes`` is `ramie.training.processes`."""

import sys
from typing import TYPE_CHECKING

from ramie.training import processes as _module

if TYPE_CHECKING:
    from ramie.training.processes import *

sys.modules[__name__] = _module
