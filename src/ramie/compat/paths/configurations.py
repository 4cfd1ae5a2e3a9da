"""``configurations`` is `ramie.foundation.configurations`."""

import sys
from typing import TYPE_CHECKING

from ramie.foundation import configurations as _module

if TYPE_CHECKING:
    from ramie.foundation.configurations import *

sys.modules[__name__] = _module
