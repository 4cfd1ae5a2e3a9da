"""``linen.kw_only_dataclasses`` is `ramie.linen.machinery.kw_only_dataclasses`."""

import sys
from typing import TYPE_CHECKING

from ramie.linen.machinery import kw_only_dataclasses as _module

if TYPE_CHECKING:
    from ramie.linen.machinery.kw_only_dataclasses import *

sys.modules[__name__] = _module
