"""Memory at an address at which JAX on a CPU takes it as it is, instead of copying."""

import math
from typing import Any

import numpy as np

_ALIGNMENT = 64


def aligned(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    """Return an array of zeros which `jax.device_put` takes as it is."""
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(nbytes + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + nbytes].view(dtype).reshape(shape)
