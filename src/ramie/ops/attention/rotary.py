"""Rotary position embedding: where a vector stands turns it, so that products know distances."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.ops.eager.meshes import laid_out, spread
from ramie.ops.moments import alike, as_array
from ramie.typing import Array

__all__ = [
    "check_table_sizes",
    "first_tables",
    "rotary_embedding",
    "rotary_tables",
    "shifted_positions",
    "turned_heads",
]

Tables = tuple[Array, Array]


def check_table_sizes(size: int | None, length: int | None, owner: str = "RoPE") -> None:
    """Raise `ValueError` unless tables of these sizes can be made, or none are asked for.

    Args:
      size: the size of a vector.
      length: the number of positions.
      owner: who asks, for the message.
    """
    if (size is None) != (length is None):
        raise ValueError(
            "Either both `embedding_size` and `max_seq_len` or none of them must be provided: "
            f"tables of {owner} need both. Got embedding_size={size}, max_seq_len={length}."
        )
    if size is not None:
        _check_size(size, owner)


def _check_size(size: int, owner: str) -> None:
    if size <= 0 or size % 2:
        raise ValueError(
            f"`embedding_size` must be positive and even: {owner} turns pairs of features. Got "
            f"{size}; in attention it is the number of features of one head."
        )


def rotary_tables(positions: Array, size: int, theta: float = 10000.0) -> Tables:
    """Compute sine and cosine of the angles by which vectors are turned.

    ``positions: [...] -> sin, cos: [..., size / 2]``. At position p, pair i of ``size / 2`` is
    turned by ``p / theta ** (2 i / size)``.

    Args:
      positions: numbers; they need not be whole.
      size: the size of the vectors, even.
      theta: what the slowest angles are a power of.

    Reference:
      Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding",
      arXiv 2104.09864.
    """
    dtype = jnp.result_type(float)
    pairs = lax.mul(lax.iota(dtype, size // 2), np.asarray(2, dtype))
    exponents = lax.div(pairs, np.asarray(size, dtype))
    periods = lax.pow(lax.full_like(exponents, theta), exponents)
    frequencies = lax.div(lax.full_like(periods, 1), periods)
    positions = lax.convert_element_type(positions, dtype)
    shape = (*positions.shape, size // 2)
    angles = lax.mul(
        lax.broadcast_in_dim(positions, shape, tuple(range(positions.ndim))),
        lax.broadcast_in_dim(frequencies, shape, (positions.ndim,)),
    )
    return lax.sin(angles), lax.cos(angles)


def first_tables(length: int, size: int, theta: float = 10000.0) -> Tables:
    """Compute `rotary_tables` for the positions from 0 on, ``[length, size / 2]``."""
    return rotary_tables(jnp.arange(length), size, theta)


@laid_out(lambda x, *_, **__: [[spread(x, x.ndim)]])
def rotary_embedding(
    x: Array,
    positions: Array | None = None,
    *,
    theta: float = 10000.0,
    tables: Tables | None = None,
    owner: str = "RoPE",
) -> Array:
    """Turn pairs of features by angles that grow with the position.

    ``x: [..., length, size], positions: [..., length] -> [..., length, size]``. Feature i of the
    first half makes a pair with feature i of the second.

    Args:
      x: vectors of an even size.
      positions: where they stand; by default from 0 on. Batch axes broadcast to those of `x`.
      theta: see `rotary_tables`.
      tables: sine and cosine for the positions from 0 on, used where `positions` are not given.
      owner: who asks, for messages.

    Returns:
      An array of that shape, in the dtype to which `x` and a default float promote.

    Raises:
      ValueError: if the sizes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> y = rotary_embedding(jnp.array([[1.0, 0.0], [1.0, 0.0]]))
      >>> y.round(3).tolist()  # the second is turned by one radian
      [[1.0, 0.0], [0.5400000214576721, 0.8410000205039978]]

    Reference:
      Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding",
      arXiv 2104.09864.
    """
    x = as_array(x)
    if x.ndim < 2:
        raise ValueError(
            f"{owner} takes inputs [..., length, size], but got one of shape {x.shape}."
        )
    length, size = x.shape[-2:]
    _check_size(size, owner)
    if positions is not None:
        positions = _fitting(positions, x.shape[:-1], owner)
        sin, cos = rotary_tables(positions, size, theta)
    elif tables is not None:
        sin, cos = (_first(table, length, size, owner) for table in tables)
    else:
        sin, cos = first_tables(length, size, theta)
    sin, cos = (_of_both_halves(table, x.shape) for table in (sin, cos))
    first = lax.slice_in_dim(x, 0, size // 2, axis=x.ndim - 1)
    second = lax.slice_in_dim(x, size // 2, size, axis=x.ndim - 1)
    # One sum over all features, in this order: XLA then rounds it as it does the peer's.
    turned_by_quarter = lax.concatenate((lax.neg(second), first), x.ndim - 1)
    return lax.add(_product(x, cos), _product(turned_by_quarter, sin))


def _product(x: Array, y: Array) -> Array:
    return lax.mul(*alike(x, y))


def _fitting(positions: Any, shape: tuple[int, ...], owner: str) -> Array:
    """Return positions as an array that broadcasts to ``[..., length]``."""
    positions = jnp.asarray(positions)
    given = positions.shape
    if not given or given[-1] != shape[-1]:
        raise ValueError(
            "`input_positions` must have the same seq_len as `x`: one position for each of "
            f"{shape[-1]} vectors. {owner} got positions of shape {given} for {shape}."
        )
    try:
        fits = jnp.broadcast_shapes(given, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"`input_positions` of {owner} have shape {given}, which does not broadcast to the "
            f"batch and length of `x`, {shape}."
        )
    return positions


def _first(table: Array, length: int, size: int, owner: str) -> Array:
    """Return the beginning of a table."""
    if table.shape[-1] * 2 != size:
        raise ValueError(
            f"{owner} was made with embedding_size={table.shape[-1] * 2}, but the vectors have "
            f"{size} features; in attention that is the size of one head."
        )
    if length > table.shape[0]:
        raise ValueError(
            f"{owner} was made with max_seq_len={table.shape[0]}, but the sequence has {length} "
            "positions. Make it longer, or leave both sizes out."
        )
    return lax.slice_in_dim(table, 0, length)


def _of_both_halves(table: Array, shape: tuple[int, ...]) -> Array:
    """Repeat a table for the second half of the features, and broadcast it to some shape."""
    both = lax.concatenate((table, table), table.ndim - 1)
    return lax.broadcast_in_dim(both, shape, tuple(range(len(shape) - both.ndim, len(shape))))


def turned_heads(turn: Callable[..., Array], x: Array, positions: Array | None = None) -> Array:
    """Turn the vectors of several heads alike.

    Args:
      turn: turns ``[..., length, size]`` by positions ``[..., length]`` or None.
      x: ``[..., length, heads, size]``.
      positions: ``[..., length]``, for all heads.
    """
    if positions is None:
        return jax.vmap(turn, in_axes=-2, out_axes=-2)(x)
    return jax.vmap(turn, in_axes=(-2, None), out_axes=-2)(x, positions)


def shifted_positions(
    index: Array, length: int, query_positions: Array | None
) -> tuple[Array, Array]:
    """Return positions for a step of decoding: that of the query, and those of cached keys.

    Angles between vectors depend on distances alone, so keys are given positions that lead up to
    that of the query without a gap.

    Args:
      index: the place of the query in the cache, an integer scalar.
      length: the length of the cache.
      query_positions: ``[..., 1]``, where the query stands; by default at `index`.

    Returns:
      Positions ``[..., 1]`` and ``[..., length]``.
    """
    places = lax.iota(index.dtype, length)
    if query_positions is None:
        return lax.broadcast_in_dim(index, (1,), ()), places
    given = jnp.asarray(query_positions)
    before = lax.sub(places, lax.broadcast_in_dim(index, (length,), ()))
    shape = (*given.shape[:-1], length)
    given_wide = lax.broadcast_in_dim(given, shape, tuple(range(given.ndim)))
    wide = lax.broadcast_in_dim(before, shape, (given.ndim - 1,))
    return given, lax.add(*alike(given_wide, wide))
