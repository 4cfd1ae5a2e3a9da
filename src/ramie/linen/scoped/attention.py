"""Dot product attention on bare scopes, over any of the axes between batch and features."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.core.scope.scope import Scope
from ramie.linen.scoped.linear import default_kernel_init as default_kernel_init
from ramie.linen.scoped.linear import dense_general as dense_general
from ramie.ops import initializers
from ramie.ops.attention import along_axes as axis_attention
from ramie.ops.attention.decoding import check_room
from ramie.ops.stochastic import check_rate
from ramie.trees import struct
from ramie.typing import Array, Dtype, Initializer, PrecisionLike, PRNGKey, Shape

__all__ = [
    "CacheEntry",
    "dot_product_attention",
    "make_padding_mask",
    "multi_head_dot_product_attention",
]

_MASKED = -1e10


@struct.dataclass
class CacheEntry:
    """Keys and values of the positions decoded so far.

    Attributes:
      key: ``[batch, dims..., heads, depth]``.
      value: as `key`.
      i: the number of positions filled, in row-major order of the dims.
    """

    key: Array
    value: Array
    i: Array


def dot_product_attention(
    scope: Scope,
    query: Array,
    key: Array,
    value: Array,
    dtype: Dtype = jnp.float32,
    bias: Array | None = None,
    axis: int | Sequence[int] | None = None,
    broadcast_dropout: bool = True,
    dropout_rng: PRNGKey | None = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    precision: PrecisionLike = None,
) -> Array:
    """Average values by how well each query fits each key.

    ``query, key: [batch, dims..., heads, depth], value: [batch, dims..., heads, any]
    -> [batch, dims..., heads, any]``.

    Args:
      scope: its stream ``dropout`` gives the key for dropout.
      query: queries.
      key: keys.
      value: values.
      dtype: dtype of the attention weights.
      bias: added to the scores ``[batch, other dims..., heads, query dims..., key dims...]``.
      axis: the axes to attend over; by default all between batch and heads.
      broadcast_dropout: whether all but the attended axes share one draw.
      dropout_rng: a key to use instead of one from the scope.
      dropout_rate: probability of a weight to become zero.
      deterministic: no dropout.
      precision: of the products.

    Raises:
      ValueError: if shapes or axes do not fit together.
      InvalidRngError: if a key is needed and the scope has none.
    """
    drops = not deterministic and check_rate(dropout_rate) > 0.0
    if drops and dropout_rng is None:
        dropout_rng = scope.make_rng("dropout")
    return axis_attention.attend(
        query,
        key,
        value,
        bias,
        axis=axis,
        dtype=dtype,
        precision=precision,
        dropout_key=dropout_rng if drops else None,
        dropout_rate=dropout_rate,
        broadcast_dropout=broadcast_dropout,
    )


def make_padding_mask(
    padding_mask_query: Array,
    padding_mask_key: Array,
    query_shape: Shape,
    key_shape: Shape,
    attention_axis: int | Sequence[int] | None = None,
    segmentation_mask: bool = False,
) -> Array:
    """Make a mask that lets real queries see real keys, or each segment see itself.

    Args:
      padding_mask_query: ``[batch, dims...]``: whether a query is real, or its segment.
      padding_mask_key: the same of the keys.
      query_shape: ``[batch, dims..., heads, depth]``.
      key_shape: ``[batch, dims..., heads, depth]``.
      attention_axis: the axes to attend over; by default all between batch and heads.
      segmentation_mask: compare segments.

    Returns:
      Booleans that broadcast to the scores.

    Raises:
      ValueError: if the masks do not have the shapes given.
    """
    query = _per_position("query", padding_mask_query, query_shape)
    key = _per_position("key", padding_mask_key, key_shape)
    relation = jnp.equal if segmentation_mask else jnp.logical_and
    return axis_attention.pairwise_mask(query, key, relation, attention_axis)


def _per_position(name: str, mask: Array, shape: Shape) -> Array:
    mask, wanted = jnp.asarray(mask), tuple(shape[:-2])
    if mask.shape not in (wanted, (*wanted, 1)):
        raise ValueError(
            f"The mask or segmentation of the {name} has the shape {mask.shape}; it needs an "
            f"entry for each position: {wanted}."
        )
    return lax.reshape(mask, wanted)


class _NewCache:
    """What `init` leaves in the cache: call it with ``[batch, dims...]`` to get an empty entry."""

    def __init__(self, key: Array) -> None:
        self._count = key.ndim - 2
        self._per_position = key.shape[-2:]

    def __call__(self, shape: Shape, dtype: Dtype = jnp.float32) -> CacheEntry:
        """Return an empty entry.

        Args:
          shape: sizes of the batch and of all axes up to the heads.
          dtype: dtype of keys and values.

        Raises:
          ValueError: if these are not as many as there are axes.
        """
        if len(shape) != self._count:
            raise ValueError(
                f"The cache needs {self._count} sizes, of the batch and of each axis up to the "
                f"heads; got {tuple(shape)}."
            )
        empty = jnp.zeros((*shape, *self._per_position), dtype)
        return CacheEntry(empty, empty, jnp.zeros((), jnp.uint32))


def _decode(
    entry: Any, key: Array, value: Array, axes: tuple[int, ...]
) -> tuple[CacheEntry, Array]:
    """Write one position into the cache.

    Returns:
      The new entry, and the mask of the positions written so far.
    """
    if not isinstance(entry, CacheEntry):
        raise ValueError(
            f"Cache is not initialized, it holds a {type(entry).__name__}: before decoding, "
            "replace each entry of the cache by what it returns when called with (batch, length): "
            "jax.tree.map(lambda new: new((batch, length)), cache)."
        )
    held = entry.key.shape
    sizes = tuple(held[a] for a in axes)
    wanted = tuple(1 if a in axes else n for a, n in enumerate(held))
    if key.shape != wanted:
        raise ValueError(
            f"With a cache, positions come one at a time: keys of shape {wanted} are expected for "
            f"a cache of shape {held}, got {key.shape}."
        )
    check_room(entry.i, int(np.prod(sizes, dtype=np.int64)), "multi_head_dot_product_attention")
    places = jnp.unravel_index(entry.i.astype(jnp.int32), sizes)
    starts: list[Any] = [jnp.int32(0)] * len(held)
    for axis, place in zip(axes, places, strict=True):
        starts[axis] = place.astype(jnp.int32)
    new = CacheEntry(
        lax.dynamic_update_slice(entry.key, key.astype(entry.key.dtype), starts),
        lax.dynamic_update_slice(entry.value, value.astype(entry.value.dtype), starts),
        entry.i + jnp.ones((), entry.i.dtype),
    )
    count = int(np.prod(sizes, dtype=np.int64))
    written = lax.iota(jnp.int32, count) <= jnp.broadcast_to(entry.i.astype(jnp.int32), (count,))
    others = len(held) - 1 - len(axes)
    return new, lax.reshape(written, ((1,) * (others + len(axes)) + sizes))


def _masks(
    causal_mask: bool,
    pairs: Sequence[tuple[Array | None, Array | None, bool]],
    query: Array,
    key: Array,
    axis: tuple[int, ...],
) -> list[Array]:
    masks = [axis_attention.causal_mask(key.shape, axis)] if causal_mask else []
    for of_query, of_key, is_segmentation in pairs:
        if of_query is None and of_key is None:
            continue
        if of_query is None:
            if is_segmentation:
                raise ValueError(
                    "key_segmentation without segmentation: to which segments do the "
                    f"{query.shape[-2]} queries belong?"
                )
            of_query = jnp.ones(query.shape[:-2], bool)
        if of_key is None:
            of_key = of_query
        shapes = query.shape, key.shape
        masks.append(make_padding_mask(of_query, of_key, *shapes, axis, is_segmentation))
    return masks


def multi_head_dot_product_attention(
    scope: Scope,
    inputs_q: Array,
    inputs_kv: Array | None,
    num_heads: int,
    dtype: Dtype = jnp.float32,
    qkv_features: int | None = None,
    out_features: int | None = None,
    attention_axis: int | Sequence[int] | None = None,
    causal_mask: bool = False,
    padding_mask: Array | None = None,
    key_padding_mask: Array | None = None,
    segmentation: Array | None = None,
    key_segmentation: Array | None = None,
    cache: bool = False,
    broadcast_dropout: bool = True,
    dropout_rng: PRNGKey | None = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    precision: PrecisionLike = None,
    kernel_init: Initializer = default_kernel_init,
    bias_init: Initializer = initializers.zeros,
    bias: bool = True,
    attention_fn: Callable[..., Array] = dot_product_attention,
) -> Array:
    """Attend with several heads: ``[batch, dims..., features] -> [batch, dims..., out_features]``.

    Parameters lie in the children ``query``, ``key``, ``value`` and ``out`` of the scope.

    Args:
      scope: where they lie.
      inputs_q: what queries are made from.
      inputs_kv: what keys and values are made from; None for `inputs_q`.
      num_heads: number of heads.
      dtype: dtype of the computation.
      qkv_features: size of all heads together; by default the features of `inputs_q`.
      out_features: features of the result; by default those of `inputs_q`.
      attention_axis: the axes to attend over; by default all between batch and features.
      causal_mask: hide what comes after a position.
      padding_mask: ``[batch, dims...]``: which queries are real.
      key_padding_mask: which keys are real; by default as `padding_mask`.
      segmentation: ``[batch, dims...]``: the segment of each query; only its own one is visible.
      key_segmentation: the segment of each key; by default as `segmentation`.
      cache: decode position by position, with the variable ``entry`` of the collection ``cache``.
        `init` makes something to be called with ``(batch, length)`` for an empty cache.
      broadcast_dropout: whether all but the attended axes share one draw.
      dropout_rng: a key to use instead of one from the scope.
      dropout_rate: probability of a weight to become zero.
      deterministic: no dropout.
      precision: of the products.
      kernel_init: initializer of the kernels.
      bias_init: initializer of the biases.
      bias: whether the projections have biases.
      attention_fn: called like `dot_product_attention`, with a child of the scope.

    Raises:
      ValueError: if sizes do not fit together, or the cache is used wrongly.

    Differs from Flax: unfitting sizes are a ValueError, not an AssertionError; `key_padding_mask`
    without `padding_mask` is obeyed; padding masks work together with `attention_axis`.
    """
    if cache and not causal_mask:
        raise ValueError(
            f"Caching needs causal_mask=True, not {causal_mask!r}: what comes later is not there "
            "yet."
        )
    inputs_kv = inputs_q if inputs_kv is None else inputs_kv
    features = qkv_features or inputs_q.shape[-1]
    if features % num_heads:
        raise ValueError(
            f"The size of all heads together, {features}, is not a multiple of the number of heads "
            f"({num_heads})."
        )
    axes = axis_attention.attended_axes(inputs_q.ndim + 1, attention_axis)
    shared: dict[str, Any] = {
        "dtype": dtype,
        "kernel_init": kernel_init,
        "bias_init": bias_init,
        "bias": bias,
        "precision": precision,
    }
    heads = {"features": (num_heads, features // num_heads), "axis": -1, **shared}
    query, key, value = (
        scope.child(dense_general, name)(x, **heads)
        for name, x in (("query", inputs_q), ("key", inputs_kv), ("value", inputs_kv))
    )
    masks = []
    if cache:
        is_new = not scope.has_variable("cache", "entry")
        entry = scope.variable("cache", "entry", _NewCache, key)
        if not is_new:
            entry.value, written = _decode(entry.value, key, value, axes)
            key, value = entry.value.key, entry.value.value
            masks, causal_mask = [written], False
    pairs = ((padding_mask, key_padding_mask, False), (segmentation, key_segmentation, True))
    masks += _masks(causal_mask, pairs, query, key, axes)
    scores_bias = None
    if masks:
        seen = masks[0]
        for mask in masks[1:]:
            seen = jnp.logical_and(*jnp.broadcast_arrays(seen, mask))
        scores_bias = jnp.where(seen, jnp.zeros((), dtype), jnp.full((), _MASKED, dtype))
    y = scope.child(attention_fn)(
        query,
        key,
        value,
        dtype=dtype,
        axis=attention_axis if attention_axis is not None else axes,
        bias=scores_bias,
        precision=precision,
        dropout_rng=dropout_rng,
        dropout_rate=dropout_rate,
        broadcast_dropout=broadcast_dropout,
        deterministic=deterministic,
    )
    out = out_features or inputs_q.shape[-1]
    return scope.child(dense_general, "out")(y, features=out, axis=(-2, -1), **shared)
