"""``traceback_util`` is `ramie.core.tracebacks`."""

import sys
from typing import TYPE_CHECKING

from ramie.core import tracebacks as _module

if TYPE_CHECKING:
    from ramie.core.tracebacks import *

sys.modules[__name__] = _module
