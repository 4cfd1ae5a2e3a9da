"""``plan`` is `ramie.training.plan`."""

import sys
from typing import TYPE_CHECKING

from ramie.training import plan as _module

if TYPE_CHECKING:
    from ramie.training.plan import *

sys.modules[__name__] = _module
