"""``linen.summary`` is `ramie.linen.inspection.summary`."""

import sys
from typing import TYPE_CHECKING

from ramie.linen import module
from ramie.linen.inspection import summary as _module

if TYPE_CHECKING:
    from ramie.linen.inspection.summary import *

vars(_module)["module_lib"] = module  # a name that stands above it
sys.modules[__name__] = _module
