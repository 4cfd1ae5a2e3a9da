"""``nnx.reprlib`` is `ramie.nnx.printing.reprlib`."""

import sys
from typing import TYPE_CHECKING

from ramie.nnx.printing import reprlib as _module

if TYPE_CHECKING:
    from ramie.nnx.printing.reprlib import *

sys.modules[__name__] = _module
