"""The cache of decoding: keys and values of the positions so far."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.experimental import checkify

from ramie.ops.eager.meshes import laid_out
from ramie.ops.moments import cast
from ramie.typing import Array

__all__ = ["cached_positions_mask", "check_room", "update_cache"]


def check_room(index: Array, length: int, where: Any) -> None:
    """Make sure that a cache has a place for one more position.

    Where the index is known, a full cache is an error. Where it is traced nothing is known yet, and
    the question stays in the program for those who ask: `jax.experimental.checkify` reports it, and
    without `checkify` it costs nothing.

    Args:
      index: the place to write to, an integer scalar.
      length: how many positions the cache holds.
      where: whose cache it is; shown in the error.

    Raises:
      ValueError: if the index is known and lies beyond the end.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jax.experimental import checkify
      >>> step = checkify.checkify(jax.jit(lambda index: check_room(index, 4, "decoder")))
      >>> [step(jnp.array(index))[0].get() is None for index in (3, 4)]
      [True, False]
    """
    if isinstance(index, jax.core.Tracer):
        checkify.debug_check(
            lax.lt(index, np.asarray(length, index.dtype)),
            f"The cache of {where} is full: it holds {length} positions, and this is one more, at "
            "{index}.",
            index=index,
        )
    elif getattr(index, "is_fully_addressable", True) and int(index) >= length:
        raise ValueError(
            f"The cache of {where} is full: it holds {length} positions, and this is one more, at "
            f"index {int(index)}. Make a cache for as many positions as will be decoded, or start "
            "again with an empty one."
        )


@laid_out(lambda *caches: [[(cache, range(cache.ndim))] for cache in caches[:2]])
def update_cache(
    cached_key: Array, cached_value: Array, index: Array, key: Array, value: Array
) -> tuple[Array, Array, Array]:
    """Write the key and value of one position into the caches.

    ``cached: [batch..., length, heads, depth], key, value: [batch..., 1, heads, depth]``.

    Args:
      cached_key: keys of the positions so far.
      cached_value: values of the positions so far.
      index: the position to write, an integer scalar. Beyond the end the last one is overwritten;
        see `check_room`.
      key: the new key; the cache keeps it in its own dtype.
      value: the new value, likewise.

    Returns:
      Both caches, and the index of the next position.
    """
    axis = key.ndim - 3
    return (
        lax.dynamic_update_slice_in_dim(cached_key, cast(key, cached_key.dtype), index, axis),
        lax.dynamic_update_slice_in_dim(cached_value, cast(value, cached_value.dtype), index, axis),
        lax.add(index, np.ones((), index.dtype)),
    )


def cached_positions_mask(index: Array, batch: Sequence[int], length: int) -> Array:
    """Make the mask that lets the query at `index` see the positions written so far.

    Args:
      index: position of the query, an integer scalar.
      batch: batch axes.
      length: length of the cache.

    Returns:
      Booleans ``[batch..., 1, 1, length]``.
    """
    written = lax.le(lax.iota(index.dtype, length), jax.lax.broadcast(index, (length,)))
    return lax.broadcast_in_dim(written, (*batch, 1, 1, length), (len(batch) + 2,))
