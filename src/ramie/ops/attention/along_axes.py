"""Dot product attention over any of the axes between batch and heads.

Arrays are ``[batch, dims..., heads, depth]``. Attention runs over some of the dims, jointly; the
others count as batch. Scores are ``[batch, other dims..., heads, attended dims..., attended
dims...]``, where the first attended dims are those of the queries; masks and biases broadcast to
them.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.ops.attention.dot_product import dropout_factor
from ramie.ops.eager.meshes import laid_out
from ramie.ops.moments import alike, cast
from ramie.typing import Array, Dtype, PrecisionLike, PRNGKey, Shape

__all__ = ["attend", "attended_axes", "causal_mask", "pairwise_mask"]


def attended_axes(ndim: int, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return the axes attention runs over; by default all between batch and heads.

    Raises:
      ValueError: if an axis is none of these.
    """
    if axis is None:
        return tuple(range(1, ndim - 2))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    if not all(1 <= a < ndim - 2 for a in axes):
        raise ValueError(
            "Attention axis must be between the batch axis and the last-two axes, which hold heads "
            f"and depth; got axis={axis!r} for arrays of rank {ndim}."
        )
    return axes


def _others(ndim: int, attended: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a for a in range(ndim - 1) if a not in attended)


def _check(query: Array, key: Array, value: Array, attended: tuple[int, ...]) -> None:
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if not query.ndim == key.ndim == value.ndim or key.shape[:-1] != value.shape[:-1]:
        raise ValueError(f"query, key and value do not belong together: {shapes}.")
    same = (*_others(query.ndim, attended), query.ndim - 1)
    if any(query.shape[a] != key.shape[a] for a in same):
        raise ValueError(f"query and key differ outside of the attended axes {attended}: {shapes}.")


def _sources(query: Array, key: Array, value: Array, *_: Any, **__: Any) -> Any:
    last = query.ndim - 1
    return [[(query, (*range(last), None)), (value, (*[None] * last, last))]]


@laid_out(_sources)
def attend(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    *,
    axis: int | Sequence[int] | None = None,
    dtype: Dtype = jnp.float32,
    precision: PrecisionLike = None,
    dropout_key: PRNGKey | None = None,
    dropout_rate: float = 0.0,
    broadcast_dropout: bool = True,
) -> Array:
    """Average values by a softmax of scaled products, over several axes at once.

    ``query: [batch, dims..., heads, depth], value: [batch, dims..., heads, any]
    -> [batch, dims..., heads, any]``.

    Args:
      query: queries.
      key: keys; their attended axes may have other sizes than those of the queries.
      value: values.
      bias: added to the scores; broadcastable to them.
      axis: the axes to attend over; by default all between batch and heads.
      dtype: dtype of the weights and of the scale.
      precision: of the products.
      dropout_key: random key for dropout of weights; None for no dropout.
      dropout_rate: probability of a weight to become zero.
      broadcast_dropout: whether everything but the attended axes shares one draw.

    Raises:
      ValueError: if shapes or axes do not fit together.
    """
    attended = attended_axes(query.ndim, axis)
    _check(query, key, value, attended)
    others = _others(query.ndim, attended)
    order = (*others, *attended, query.ndim - 1)
    query, key, value = (lax.transpose(x, order) for x in (query, key, value))
    n, lead = query.ndim, tuple(range(len(others)))
    root = np.sqrt(np.asarray(query.shape[-1], jnp.result_type(float)))
    query, scale = alike(query, jnp.asarray(root, dtype))
    scores = _product(query / scale, key, (n - 1,), (n - 1,), lead, precision)
    if bias is not None:
        scores, bias = alike(scores, jnp.broadcast_to(bias, scores.shape))
        scores = lax.add(scores, bias)
    over = tuple(range(n - 1, scores.ndim))
    weights = jnp.exp(scores - jax.scipy.special.logsumexp(scores, axis=over, keepdims=True))
    weights = cast(weights, np.dtype(dtype))
    if dropout_key is not None:
        shape = weights.shape
        if broadcast_dropout:
            shape = (*(1,) * len(lead), *shape[len(lead) :])
        factor = dropout_factor(dropout_key, dropout_rate, shape, weights.dtype, broadcast=False)
        weights = weights * factor
    y = _product(weights, value, over, tuple(range(len(others), n - 1)), lead, precision)
    return lax.transpose(y, tuple(int(i) for i in np.argsort(order)))


def _product(
    a: Array,
    b: Array,
    axes_a: tuple[int, ...],
    axes_b: tuple[int, ...],
    lead: tuple[int, ...],
    precision: PrecisionLike,
) -> Array:
    a, b = alike(a, b)
    dims = ((axes_a, axes_b), (lead, lead))
    return lax.dot_general(a, b, dims, precision=precision)


def causal_mask(shape: Shape, axis: int | Sequence[int] | None = None) -> Array:
    """Make the mask that lets each position see itself and what comes before, in row-major order.

    Args:
      shape: shape of the keys, ``[batch, dims..., heads, depth]``.
      axis: the axes to attend over.

    Returns:
      Booleans that broadcast to the scores.
    """
    attended = attended_axes(len(shape), axis)
    sizes = tuple(shape[a] for a in attended)
    count = int(np.prod(sizes, dtype=np.int64))
    square = (count, count)
    seen = lax.ge(
        lax.broadcasted_iota(np.int32, square, 0), lax.broadcasted_iota(np.int32, square, 1)
    )
    ones = (1,) * len(_others(len(shape), attended))
    return lax.reshape(seen, (*ones, *sizes, *sizes))


def pairwise_mask(
    of_query: Array, of_key: Array, relation: Any, axis: int | Sequence[int] | None = None
) -> Array:
    """Make a mask from a relation between each query and each key.

    Args:
      of_query: a value per query, ``[batch, dims...]``.
      of_key: a value per key.
      relation: elementwise function of the two.
      axis: the axes to attend over.

    Returns:
      What the relation gives, in a shape that broadcasts to the scores.

    Raises:
      ValueError: if an axis does not exist.
    """
    ndim = of_query.ndim + 2  # with heads and depth
    attended = attended_axes(ndim, axis)
    order = (*(a for a in range(of_query.ndim) if a not in attended), *attended)
    count = len(attended)
    q, k = lax.transpose(of_query, order), lax.transpose(of_key, order)
    others = q.ndim - count
    q = jnp.expand_dims(q, (others, *range(q.ndim + 1, q.ndim + 1 + count)))
    k = jnp.expand_dims(k, tuple(range(others, others + 1 + count)))
    return relation(q, k)
