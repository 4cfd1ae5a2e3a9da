"""Drawing inside a trace: one large array after the other, and each where it is to lie.

A program that draws all parameters of a model is a wide one: no draw depends on another. XLA's
compiler for CPUs then schedules the beginnings of all draws before their ends, and keeps the random
bits of the whole model at once. A branch of a conditional is not taken apart, so a draw that stands
in one is finished before the next, with the same arithmetic.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType, NamedSharding, Sharding

from ramie.typing import Array, PRNGKey, Shape

__all__ = ["apart", "fits", "in_place"]

_LARGE = 1 << 16  # numbers; what is smaller costs more to schedule than it takes in memory
_SHORT_ROW = 16  # up to here XLA's loops round by the length of the row that a device has
_config: Any = jax.config


def apart(draw: Callable[[PRNGKey], Array], key: PRNGKey, shape: Shape, dtype: Any) -> Array:
    """Return `draw(key)`; if it is large, so that the compiler keeps it apart from all else.

    Args:
      draw: draws an array.
      key: its argument.
      shape: of the array.
      dtype: of the array; None stands for JAX's default.
    """
    if not _is_large(shape) or jax.default_backend() != "cpu" or _config.jax_disable_jit:
        return draw(key)
    if jax.sharding.get_abstract_mesh().manual_axes:  # there both branches need axes of one kind
        return draw(key)
    kind = jax.dtypes.canonicalize_dtype(float if dtype is None else dtype)
    # The compiler must not know that it is always true.
    always = lax.optimization_barrier(np.True_)
    drawn: Array = lax.cond(always, draw, lambda _: lax.full(tuple(shape), 0, kind), key)
    return drawn


def _is_large(shape: Shape) -> bool:
    return all(isinstance(size, int) for size in shape) and math.prod(shape) >= _LARGE


def fits(sharding: Any, shape: Any) -> bool:
    """Tell whether an array of a shape can be divided as a sharding says.

    Args:
      sharding: a sharding.
      shape: of the array.
    """
    if not isinstance(sharding, NamedSharding) or len(sharding.spec) > len(shape):
        return False
    try:
        sharding.shard_shape(tuple(shape))
    except (ValueError, TypeError):
        return False
    return True


def in_place(
    draw: Callable[[PRNGKey], Array], key: PRNGKey, shape: Shape, sharding: Sharding
) -> Array | None:
    """Return `draw(key)`, each part drawn where it is to lie, or None if that cannot be said here.

    Only explicit axes need it: for others the compiler looks at what becomes of the result. Small
    arrays are not divided: their numbers may be rounded differently in parts.

    Args:
      draw: draws an array.
      key: its argument.
      shape: of the array; it can be divided as `sharding` says.
      sharding: how the array is to lie.
    """
    here = jax.sharding.get_abstract_mesh()
    if not isinstance(sharding, NamedSharding) or not _config.jax_threefry_partitionable:
        return None
    if set(here.axis_types) != {AxisType.Explicit} or sharding.mesh.abstract_mesh != here:
        return None
    if not _is_large(shape) or sharding.shard_shape(tuple(shape))[-1] <= _SHORT_ROW:
        return None
    if not jax.typeof(key).sharding.is_fully_replicated:
        return None
    drawn: Array = jax.sharding.auto_axes(draw, out_sharding=sharding)(key)
    return drawn
