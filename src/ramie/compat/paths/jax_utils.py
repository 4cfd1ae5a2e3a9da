"""``jax_utils`` is `ramie.training.jax_utils`."""

import sys
from typing import TYPE_CHECKING

from ramie.training import jax_utils as _module

if TYPE_CHECKING:
    from ramie.training.jax_utils import *

sys.modules[__name__] = _module
