"""``core.tracers`` is `ramie.core.tracing.trace`."""

import sys
from typing import TYPE_CHECKING

from ramie.core.tracing import trace as _module

if TYPE_CHECKING:
    from ramie.core.tracing.trace import *

sys.modules[__name__] = _module
