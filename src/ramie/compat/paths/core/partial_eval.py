"""``core.partial_eval`` is `ramie.core.tracing.partial_eval`."""

import sys
from typing import TYPE_CHECKING

from ramie.core.tracing import partial_eval as _module

if TYPE_CHECKING:
    from ramie.core.tracing.partial_eval import *

sys.modules[__name__] = _module
