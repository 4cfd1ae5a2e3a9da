"""Dot product attention: weights, their application, masks and dropout.

Eagerly the weights take two programs and their application one, none of them fused. The exponential
stands alone: in one program with its neighbours XLA would compute it by another formula.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.ops.attention.checks import check_inputs, check_scores
from ramie.ops.dtypes import promote_dtype
from ramie.ops.eager.dispatch import eager_compiled
from ramie.ops.eager.meshes import laid_out, spread
from ramie.ops.eager.proofs import numbers
from ramie.ops.eager.replaced import Rests, current
from ramie.ops.moments import alike, cast
from ramie.ops.stochastic import check_rate, keep_mask
from ramie.typing import Array, DotGeneralT, Dtype, EinsumT, PrecisionLike, PRNGKey, Shape

__all__ = [
    "apply_weights",
    "attention_weights",
    "causal_mask",
    "combine_masks",
    "dropout_factor",
    "dropped",
    "fused_attention",
    "make_attention_mask",
    "make_causal_mask",
]

SCORES = "...qhd,...khd->...hqk"
VALUES = "...hqk,...khd->...qhd"

GROUPED_SCORES = "...qhgd,...khd->...hgqk"
GROUPED_VALUES = "...hgqk,...khd->...qhgd"

_WIDE = frozenset(np.dtype(t) for t in ("float32", "float64"))
_EINSUM = Rests({jnp: ["einsum"]})
_SOFTMAX = Rests({jax.nn: ["softmax"]})


# --- weights --------------------------------------------------------------------------------------


def _is_plain(*arrays: Array | None, dot_general: Any = None, **_: Any) -> bool:
    """Tell whether the separate operations and the program were compared for such arguments.

    In half precision XLA leaves out roundings between operations.
    """
    if dot_general is not None:
        return False
    return all(a is None or a.dtype in _WIDE or a.dtype == np.bool_ for a in arrays)


def _is_wide(x: Array, *_: Any, **__: Any) -> bool:
    return x.dtype in _WIDE


def _product(
    a: Array, b: Array, dims: Any, precision: PrecisionLike, dot_general: DotGeneralT | None
) -> Array:
    multiply = lax.dot_general if dot_general is None else dot_general
    common = jnp.promote_types(a.dtype, b.dtype) if a.dtype != b.dtype else a.dtype
    return multiply(a, b, dims, precision, preferred_element_type=common)


def _visible_einsum(precision: PrecisionLike, dot_general: DotGeneralT | None) -> EinsumT | None:
    """Return `jax.numpy.einsum` where it or `jax.nn.softmax` is not JAX's own, else None.

    Flax takes these products by einsum, so libraries put theirs there to be asked for them.
    """
    if _EINSUM.are_shipped() and _SOFTMAX.are_shipped():
        return None
    options = {} if dot_general is None else {"_dot_general": dot_general}
    return functools.partial(jnp.einsum, precision=precision, **options)


def _scores(query: Array, key: Array, einsum: EinsumT) -> Array:
    heads, key_heads = query.shape[-2], key.shape[-2]
    if heads == key_heads:
        return einsum(SCORES, query, key)
    groups = (*query.shape[:-2], key_heads, heads // key_heads, query.shape[-1])
    scores = einsum(GROUPED_SCORES, lax.reshape(query, groups), key)
    return lax.reshape(scores, (*scores.shape[:-4], heads, *scores.shape[-2:]))


def _averages(weights: Array, value: Array, einsum: EinsumT) -> Array:
    heads, value_heads = weights.shape[-3], value.shape[-2]
    if heads == value_heads:
        return einsum(VALUES, weights, value)
    groups = (*weights.shape[:-3], value_heads, heads // value_heads, *weights.shape[-2:])
    y = einsum(GROUPED_VALUES, lax.reshape(weights, groups), value)
    return lax.reshape(y, (*y.shape[:-3], heads, y.shape[-1]))


def _scaled(query: Array) -> Array:
    depth = np.sqrt(np.asarray(query.shape[-1], jnp.result_type(float)))
    return lax.div(query, depth.astype(query.dtype))


def _biased_and_masked(
    scores: Array, bias: Array | None, mask: Array | None, in_float32: bool
) -> Array:
    if in_float32:
        scores = cast(scores, jnp.promote_types(scores.dtype, jnp.float32))
    if bias is not None:
        if bias.shape != scores.shape:
            shape = jnp.broadcast_shapes(scores.shape, bias.shape)
            scores, bias = jnp.broadcast_to(scores, shape), jnp.broadcast_to(bias, shape)
        scores = lax.add(*alike(scores, bias))
    if mask is not None:
        shape = jnp.broadcast_shapes(scores.shape, mask.shape)
        kept = jnp.broadcast_to(_as_bool(mask), shape)
        lowest = np.asarray(jnp.finfo(scores.dtype).min, scores.dtype)
        scores = lax.select(kept, jnp.broadcast_to(scores, shape), lax.full(shape, lowest))
    return scores


def _minus_maximum(scores: Array) -> Array:
    axis = scores.ndim - 1
    largest = lax.reduce_max(scores, (axis,))
    return lax.sub(scores, lax.stop_gradient(_with_last_axis(largest)))


def _with_last_axis(x: Array) -> Array:
    return lax.broadcast_in_dim(x, (*x.shape, 1), tuple(range(x.ndim)))


_PRODUCT: dict[str, Any] = {"precision": None, "dot_general": None}


def _scores_sample(dtype: Any) -> Any:
    arrays = numbers((2, 3, 2, 5), dtype), numbers((2, 4, 2, 5), dtype, 70)
    return (*arrays, numbers((2, 1, 3, 4), dtype, 150), None), {**_PRODUCT, "in_float32": False}


@eager_compiled(
    static_argnames=("precision", "dot_general", "in_float32"),
    sample=_scores_sample,
    proven=_is_plain,
    fused=False,
)
def _shifted_scores(
    query: Array,
    key: Array,
    bias: Array | None,
    mask: Array | None,
    *,
    precision: PrecisionLike,
    dot_general: DotGeneralT | None,
    in_float32: bool,
) -> Array:
    """Return the scores of each query, less the largest."""
    n = query.ndim
    batch = (*range(n - 3), n - 2)
    query, grouped = _scaled(query), query.shape[-2] // key.shape[-2]
    if grouped == 1:
        dims = (((n - 1,), (n - 1,)), (batch, batch))
        scores = _product(query, key, dims, precision, dot_general)
    else:
        # [batch, k, k heads, depth] x [batch, q, k heads, group, depth], in this order: it decides
        # how XLA sums.
        lead, length = query.shape[:-3], query.shape[-3]
        query = lax.reshape(query, (*lead, length, key.shape[-2], grouped, query.shape[-1]))
        dims = (((n - 1,), (n,)), (batch, batch))
        scores = _product(key, query, dims, precision, dot_general)
        scores = lax.transpose(scores, (*range(n - 2), n, n - 1, n - 2))
        heads = key.shape[-2] * grouped
        scores = lax.reshape(scores, (*lead, heads, length, key.shape[-3]))
    return _minus_maximum(_biased_and_masked(scores, bias, mask, in_float32))


def _over_sum(e: Array) -> Array:
    total = lax.reduce_sum(cast(e, _accumulator(e.dtype)), (e.ndim - 1,))
    return lax.div(e, cast(_with_last_axis(total), e.dtype))


def _accumulator(dtype: Any) -> Any:
    return jnp.promote_types(dtype, jnp.float32) if dtype.itemsize < 4 else dtype


def _normalized_sample(dtype: Any) -> Any:
    return (lax.abs(numbers((2, 2, 3, 9), dtype)),), {}


@eager_compiled(sample=_normalized_sample, proven=_is_wide, fused=False)
def _normalized(exponentials: Array) -> Array:
    return _over_sum(exponentials)


def _applied_sample(dtype: Any) -> Any:
    weights, factor = numbers((2, 2, 3, 4), dtype), numbers((2, 2, 3, 4), dtype, 70)
    return (weights, numbers((2, 4, 2, 5), dtype, 150), factor), _PRODUCT


@eager_compiled(
    static_argnames=("precision", "dot_general"),
    sample=_applied_sample,
    proven=_is_plain,
    fused=False,
)
def _applied(
    weights: Array,
    value: Array,
    factor: Array | None,
    *,
    precision: PrecisionLike,
    dot_general: DotGeneralT | None,
) -> Array:
    if factor is not None:
        weights = lax.mul(*alike(weights, factor))
    n = value.ndim
    lead = tuple(range(n - 3))
    grouped = weights.shape[-3] // value.shape[-2]
    if grouped > 1:
        # [batch, k, k heads, depth] x [batch, k heads, group, q, k]
        heads = value.shape[-2]
        shape = (*weights.shape[:-3], heads, grouped, *weights.shape[-2:])
        dims = (((n - 3,), (n,)), ((*lead, n - 2), (*lead, n - 3)))
        y = _product(value, lax.reshape(weights, shape), dims, precision, dot_general)
        y = lax.transpose(y, (*lead, n, n - 3, n - 1, n - 2))
        return lax.reshape(y, (*y.shape[:-3], heads * grouped, y.shape[-1]))
    dims = (((n - 3,), (n - 1,)), ((*lead, n - 2), (*lead, n - 3)))
    y = _product(value, weights, dims, precision, dot_general)
    return lax.transpose(y, (*lead, n - 1, n - 3, n - 2))


def _weights_sources(
    query: Array, key: Array, bias: Array | None = None, mask: Array | None = None, **_: Any
) -> Any:
    n = query.ndim
    batch = range(n - 3)
    return [
        [
            (query, (*batch, n - 2, n - 3, None)),
            (key, (*batch, n - 1, n - 3, None)),
            spread(bias, n),
            spread(mask, n),
        ]
    ]


@laid_out(_weights_sources)
@eager_compiled(static_argnames=("dtype", "precision", "in_float32", "dot_general", "einsum"))
def attention_weights(
    query: Array,
    key: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    *,
    dtype: Dtype | None = None,
    precision: PrecisionLike = None,
    in_float32: bool = False,
    dot_general: DotGeneralT | None = None,
    einsum: EinsumT | None = None,
) -> Array:
    """Compute how much each query attends to each key: a softmax of scaled products.

    ``query: [batch..., q, heads, depth], key: [batch..., k, heads, depth]
    -> [batch..., heads, q, k]``.

    Args:
      query: queries.
      key: keys; they may have fewer heads, each for as many neighbouring heads of the queries.
      bias: added to the scores; broadcastable to the result.
      mask: where a query may look; broadcastable to the result.
      dtype: dtype of the computation; by default what query and key promote to.
      precision: of the product.
      in_float32: take the softmax in float32 at least, and leave the weights there.
      dot_general: used in place of `jax.lax.dot_general`.
      einsum: used in place of the product as a whole; called with an equation and two arrays.

    Returns:
      Weights that sum to one over keys.

    Raises:
      ValueError: if the shapes do not fit together.
    """
    query, key = promote_dtype(query, key, dtype=dtype)
    check_inputs(query, key, grouped=True)
    bias = None if bias is None else jnp.asarray(bias)
    mask = None if mask is None else jnp.asarray(mask)
    check_scores(query, key, bias=bias, mask=mask, wider=True)
    if einsum is None:
        einsum = _visible_einsum(precision, dot_general)
    if einsum is None:
        shifted = _shifted_scores(
            query,
            key,
            bias,
            mask,
            precision=precision,
            dot_general=dot_general,
            in_float32=in_float32,
        )
    else:
        scores = _scores(_scaled(query), key, einsum)
        masked = _biased_and_masked(scores, bias, mask, in_float32)
        if not _SOFTMAX.are_shipped():
            weights = jax.nn.softmax(masked)
            return weights if in_float32 else cast(weights, query.dtype)
        shifted = _minus_maximum(masked)
    weights = _normalized(lax.exp(shifted))
    return weights if in_float32 else cast(weights, query.dtype)


def dropout_factor(
    key: PRNGKey | None, rate: float, shape: Shape, dtype: Any, broadcast: bool = True
) -> Array:
    """Draw what attention weights are multiplied with under dropout: 0, or 1 / (1 - rate).

    Args:
      key: random key.
      rate: probability of a weight to become zero.
      shape: shape of the weights, ``[batch..., heads, q, k]``.
      dtype: dtype of the result.
      broadcast: whether all batch entries and heads share one draw.

    Returns:
      An array that broadcasts to `shape`.

    Raises:
      ValueError: if there is no key, or `rate` is no probability.
    """
    if key is None:
        raise ValueError(
            "dropout_rng is required when dropout_rate > 0 and deterministic=False: dropout of "
            f"attention weights at rate {rate} needs a random key. Pass one, or deterministic=True "
            "to switch it off."
        )
    keep = 1.0 - check_rate(rate)
    drawn = (*(1,) * (len(shape) - 2), *shape[-2:]) if broadcast else tuple(shape)
    if keep == 0.0:
        return lax.full(drawn, 0, dtype)
    kept = lax.convert_element_type(keep_mask(key, rate, drawn), dtype)
    return lax.div(kept, np.asarray(keep, dtype))


@laid_out()
def dropped(weights: Array, factor: Array) -> Array:
    """Multiply weights with the factor of `dropout_factor`."""
    return jnp.multiply(weights, factor)


def _average_sources(weights: Array, value: Array, *_: Any, **__: Any) -> Any:
    n = weights.ndim
    batch = range(n - 3)
    return [[(weights, (*batch, n - 2, n - 3, None)), (value, (*batch, None, n - 2, n - 1))]]


@laid_out(_average_sources)
def apply_weights(
    weights: Array,
    value: Array,
    factor: Array | None = None,
    *,
    precision: PrecisionLike = None,
    dot_general: DotGeneralT | None = None,
    einsum: EinsumT | None = None,
) -> Array:
    """Average values by attention weights.

    ``weights: [batch..., heads, q, k], value: [batch..., k, heads, depth]
    -> [batch..., q, heads, depth]``.

    Args:
      weights: attention weights.
      value: values; they may have fewer heads, as the keys.
      factor: multiplied with the weights first, see `dropout_factor`.
      precision: of the product.
      dot_general: used in place of `jax.lax.dot_general`.
      einsum: used in place of the product as a whole.
    """
    if einsum is None:
        einsum = _visible_einsum(precision, dot_general)
    if einsum is not None:
        if factor is not None:
            weights = lax.mul(*alike(weights, factor))
        return _averages(weights, value, einsum)
    return _applied(weights, value, factor, precision=precision, dot_general=dot_general)


def _fused_sources(query: Array, key: Array, value: Array, *_: Any, **__: Any) -> Any:
    last = query.ndim - 1
    return [[(query, (*range(last), None)), (value, (*range(last - 2), None, last - 1, last))]]


@laid_out(_fused_sources)
@eager_compiled(static_argnames=("is_causal",))
def fused_attention(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    *,
    is_causal: bool = False,
) -> Array:
    """Average values by attention weights that nobody else asks for, in one operation of JAX.

    ``query: [batch..., q, heads, depth], key, value: [batch..., k, heads, depth]
    -> [batch..., q, heads, depth]``.

    Scores are scaled after the product and the softmax is taken in float32, so results may differ
    in their last bits from those of `attention_weights` and `apply_weights`.

    Args:
      query: queries.
      key: keys; they may have fewer heads, each for as many neighbouring heads of the queries.
      value: values, as many heads as the keys and as deep.
      bias: added to the scores; broadcastable to ``[batch..., heads, q, k]``.
      mask: where a query may look; broadcastable likewise.
      is_causal: whether a query sees no later positions.

    Raises:
      ValueError: if bias or mask do not fit.
    """
    check_scores(query, key, bias=bias, mask=mask)
    if query.ndim <= 4:
        return jax.nn.dot_product_attention(
            query, key, value, bias, _as_mask(mask), is_causal=is_causal
        )
    lead = query.shape[:-3]

    def flat(x: Array, rank: int) -> Array:
        return lax.reshape(x, (math.prod(x.shape[:-rank]), *x.shape[x.ndim - rank :]))

    def spread(x: Array | None) -> Array | None:
        # Batch axes of size one are repeated, for they become one axis with the others.
        if x is None or x.ndim < 4:
            return x
        return flat(jnp.broadcast_to(x, (*lead, *x.shape[-3:])), 3)

    y = jax.nn.dot_product_attention(
        flat(query, 3),
        flat(key, 3),
        flat(value, 3),
        spread(bias),
        spread(_as_mask(mask)),
        is_causal=is_causal,
    )
    return lax.reshape(y, query.shape)


def _as_mask(mask: Array | None) -> Array | None:
    return None if mask is None else _as_bool(jnp.asarray(mask))


@laid_out(lambda query, key, mask: [[spread(mask, query.ndim)]])
def causal_mask(query: Array, key: Array, mask: Array | None) -> Array:
    """Make a mask that lets queries see no later positions, and let through what `mask` does, too.

    Args:
      query: ``[batch..., q, heads, depth]``; only its shape counts.
      key: ``[batch..., k, heads, depth]``, likewise.
      mask: another mask, broadcastable to ``[batch..., heads, q, k]``, or None.

    Returns:
      Booleans ``[1..., 1, q, k]``, or as wide as `mask`.

    Raises:
      ValueError: if the mask does not fit.
    """
    check_scores(query, key, bias=None, mask=mask, wider=True)
    lengths = (query.shape[-3], key.shape[-3])
    seen = lax.ge(
        lax.broadcasted_iota(np.int32, lengths, 0), lax.broadcasted_iota(np.int32, lengths, 1)
    )
    seen = lax.reshape(seen, (*(1,) * (query.ndim - 2), *lengths))
    if mask is None:
        return seen
    shape = jnp.broadcast_shapes(seen.shape, np.shape(mask))
    kept = jnp.broadcast_to(_as_bool(jnp.asarray(mask)), shape)
    return lax.bitwise_and(jnp.broadcast_to(seen, shape), kept)


# --- masks ----------------------------------------------------------------------------------------


def _as_bool(mask: Array) -> Array:
    return mask if mask.dtype == np.bool_ else lax.ne(mask, np.zeros((), mask.dtype))


def make_attention_mask(
    query_input: Array,
    key_input: Array,
    pairwise_fn: Callable[..., Any] = jnp.multiply,
    extra_batch_dims: int = 0,
    dtype: Dtype = jnp.float32,
) -> Array:
    """Make a mask from a relation between each query and each key.

    ``query_input: [batch..., q], key_input: [batch..., k] -> [extra..., batch..., 1, q, k]``.

    Args:
      query_input: a value per query: a position, or whether it is no padding.
      key_input: a value per key.
      pairwise_fn: elementwise relation of the two.
      extra_batch_dims: number of axes of size one to put in front.
      dtype: dtype of the mask.

    Example:
      >>> import jax.numpy as jnp
      >>> real = jnp.array([1, 1, 0])
      >>> make_attention_mask(real, real, dtype=bool)[0].tolist()
      [[True, True, False], [True, True, False], [False, False, False]]
    """
    query_input, key_input = jnp.asarray(query_input), jnp.asarray(key_input)
    related = current(pairwise_fn)(jnp.expand_dims(query_input, -1), jnp.expand_dims(key_input, -2))
    n = related.ndim
    front = (1,) * extra_batch_dims
    shape = (*front, *related.shape[:-2], 1, *related.shape[-2:])
    kept = tuple(range(extra_batch_dims, extra_batch_dims + n - 2))
    ends = (len(shape) - 2, len(shape) - 1)
    return cast(lax.broadcast_in_dim(related, shape, (*kept, *ends)), np.dtype(dtype))


def make_causal_mask(x: Array, extra_batch_dims: int = 0, dtype: Dtype = jnp.float32) -> Array:
    """Make the mask that lets each position see itself and what came before.

    ``x: [batch..., length] -> [extra..., batch..., 1, length, length]``.

    Args:
      x: an array of that shape; its values do not matter.
      extra_batch_dims: number of axes of size one to put in front.
      dtype: dtype of the mask.
    """
    shape = np.shape(x)
    square = (shape[-1], shape[-1])
    seen = lax.ge(
        lax.broadcasted_iota(np.int32, square, 0), lax.broadcasted_iota(np.int32, square, 1)
    )
    full = (*(1,) * extra_batch_dims, *shape[:-1], 1, *square)
    return cast(lax.broadcast_in_dim(seen, full, (len(full) - 2, len(full) - 1)), np.dtype(dtype))


def combine_masks(*masks: Array | None, dtype: Dtype = jnp.float32) -> Array | None:
    """Let through what every mask lets through.

    Args:
      *masks: masks of one rank, broadcastable to each other; those that are None do not count.
      dtype: dtype of the result.

    Returns:
      The mask, or None if there was none.

    Raises:
      ValueError: if the ranks differ.
    """
    given = [jnp.asarray(m) for m in masks if m is not None]
    if not given:
        return None
    if any(m.ndim != given[0].ndim for m in given):
        raise ValueError(
            "masks must have same rank to be combined; got shapes "
            f"{', '.join(str(m.shape) for m in given)}."
        )
    if len(given) == 1:
        return cast(given[0], np.dtype(dtype))
    both = functools.reduce(jnp.logical_and, given)
    return cast(both, np.dtype(dtype))
