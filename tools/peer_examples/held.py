"""What a script or notebook holds: its models, optimizers, states and arrays."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np


def held(names: Mapping[str, Any]) -> dict[str, Any]:
    """Return them by name, as plain dictionaries of arrays."""
    from flax import nnx
    from flax.training.train_state import TrainState

    found = {}
    for name, value in names.items():
        if isinstance(value, nnx.Pytree):
            found[name] = nnx.to_pure_dict(nnx.state(value))
        elif isinstance(value, nnx.State):
            found[name] = nnx.to_pure_dict(value)
        elif isinstance(value, TrainState):
            found[name] = [dict(value.params), value.step]
            if hasattr(value, "counts"):
                found[name].append(nnx.to_pure_dict(value.counts))
        elif isinstance(value, (jax.Array, np.ndarray)) or _plain(value):
            found[name] = value
    return found


def _plain(value: Any) -> bool:
    leaves = list(_leaves(value)) if isinstance(value, (dict, list, tuple)) else []
    return bool(leaves) and all(isinstance(x, (jax.Array, np.ndarray)) for x in leaves)


def _leaves(value: Any) -> Iterator[Any]:
    """Go through containers in their own order: JAX would sort keys, which may be of two types."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def total(names: Mapping[str, Any]) -> float:
    """Return the sum of the absolute values of all numbers; random keys are left out."""
    leaves = [x for x in _leaves(held(names)) if isinstance(x, (jax.Array, np.ndarray))]
    numbers = [x for x in leaves if jax.dtypes.issubdtype(x.dtype, np.number)]
    return math.fsum(np.abs(np.asarray(x, np.float64)).sum() for x in numbers)
