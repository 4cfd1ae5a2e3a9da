"""Attention with several heads."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from ramie.nnx.layers.attention.dot_product import (
    dot_product_attention,
)
from ramie.nnx.layers.dtypes import promote_dtype
from ramie.nnx.layers.linear import LinearGeneral
from ramie.nnx.layers.norm import LayerNorm
from ramie.nnx.layers.parameters import (
    NO_METADATA,
    default_kernel_init,
    keep,
    of_stream,
    raw,
    write,
)
from ramie.nnx.modules.module import Module, first_from
from ramie.nnx.modules.places import place
from ramie.nnx.objects.marks import data
from ramie.nnx.randomness.rng import Rngs, RngStream
from ramie.nnx.variable.kinds import Cache
from ramie.ops import initializers, linear
from ramie.ops.attention import decoding, rotary
from ramie.ops.attention.dot_product import combine_masks
from ramie.ops.drawing.sampling import filled
from ramie.ops.moments import cast
from ramie.typing import (
    Array,
    DotGeneralT,
    Dtype,
    Initializer,
    PrecisionLike,
    PRNGKey,
    PromoteDtypeFn,
    Shape,
)

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(Module):
    """Attention with several heads, between linear maps.

    Submodules: ``query``, ``key`` and ``value``, which map features to ``[heads, depth]``, and
    ``out``, which maps back; with `normalize_qk` also ``query_ln`` and ``key_ln``. To decode, one
    position at a time, `init_cache` makes ``cached_key``, ``cached_value`` and ``cache_index``, of
    the kind `Cache`.

    Args:
      num_heads: number of heads; it divides `qkv_features`.
      in_features: features of the queries.
      qkv_features: features of all heads together; by default `in_features`.
      out_features: features of the result; by default `in_features`.
      num_kv_heads: number of heads of keys and values, each for a group of query heads; it divides
        `num_heads`, which is the default.
      in_kv_features: features of what keys and values are made from; by default `in_features`.
      dtype: dtype of the computation; by default what inputs and parameters promote to.
      param_dtype: dtype in which parameters are initialised.
      broadcast_dropout: whether all batch entries and heads share one draw.
      dropout_rate: probability of an attention weight to become zero.
      deterministic: switch dropout off; the call can override it.
      precision: of the products.
      kernel_init: initializer of the kernels.
      out_kernel_init: initializer of the last kernel; by default `kernel_init`.
      bias_init: initializer of the biases.
      out_bias_init: initializer of the last bias; by default `bias_init`.
      use_bias: whether the linear maps have biases.
      attention_fn: the attention itself, called like `dot_product_attention`.
      decode: take one position at a time, and remember keys and values of those before; the call
        can override it.
      normalize_qk: normalise queries and keys, head by head, before they meet.
      qkv_promote_dtype: brings the arrays of the first maps to one dtype.
      out_promote_dtype: the same for the last map.
      ln_promote_dtype: the same for the normalisations.
      qkv_dot_general: used in place of `jax.lax.dot_general` in the first maps.
      out_dot_general: used in place of it in the last map.
      qkv_dot_general_cls: a class whose instance is used as `qkv_dot_general`.
      out_dot_general_cls: a class whose instance is used as `out_dot_general`.
      rngs: the keys for the parameters, and with dropout a stream "dropout" to fork.
      keep_rngs: whether to keep that stream, as `rngs`; else each call with dropout brings one.
      kernel_metadata: metadata of the first kernels.
      out_kernel_metadata: metadata of the last kernel.
      bias_metadata: metadata of the first biases.
      out_bias_metadata: metadata of the last bias.
      query_ln_scale_metadata: metadata of the scale of `query_ln`.
      key_ln_scale_metadata: metadata of the scale of `key_ln`.

    Raises:
      ValueError: if heads do not come out even.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> layer = nnx.MultiHeadAttention(2, in_features=8, decode=False, rngs=nnx.Rngs(0))
        >>> x = jnp.ones((3, 5, 8))
        >>> layer(x, mask=nnx.make_causal_mask(x[..., 0])).shape
        (3, 5, 8)
        >>> layer.init_cache(x.shape)
        >>> layer(x[:, :1], decode=True).shape, int(layer.cache_index[...])
        ((3, 1, 8), 1)
    """

    num_heads: int
    in_features: int
    qkv_features: int
    out_features: int
    in_kv_features: int
    num_kv_heads: int
    dtype: Dtype | None
    param_dtype: Dtype
    broadcast_dropout: bool
    dropout_rate: float
    deterministic: bool | None
    precision: PrecisionLike
    use_bias: bool
    attention_fn: Callable[..., Array]
    decode: bool | None
    normalize_qk: bool
    qkv_promote_dtype: PromoteDtypeFn
    out_promote_dtype: PromoteDtypeFn
    ln_promote_dtype: PromoteDtypeFn
    qkv_dot_general: DotGeneralT | None
    out_dot_general: DotGeneralT | None
    qkv_dot_general_cls: Any
    out_dot_general_cls: Any
    head_dim: int
    query: LinearGeneral
    key: LinearGeneral
    value: LinearGeneral
    query_ln: LayerNorm | None
    key_ln: LayerNorm | None

    def __init__(
        self,
        num_heads: int,
        in_features: int,
        qkv_features: int | None = None,
        out_features: int | None = None,
        num_kv_heads: int | None = None,
        in_kv_features: int | None = None,
        *,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        broadcast_dropout: bool = True,
        dropout_rate: float = 0.0,
        deterministic: bool | None = None,
        precision: PrecisionLike = None,
        kernel_init: Initializer = default_kernel_init,
        out_kernel_init: Initializer | None = None,
        bias_init: Initializer = initializers.zeros,
        out_bias_init: Initializer | None = None,
        use_bias: bool = True,
        attention_fn: Callable[..., Array] = dot_product_attention,
        decode: bool | None = None,
        normalize_qk: bool = False,
        qkv_promote_dtype: PromoteDtypeFn = promote_dtype,
        out_promote_dtype: PromoteDtypeFn = promote_dtype,
        ln_promote_dtype: PromoteDtypeFn = promote_dtype,
        qkv_dot_general: DotGeneralT | None = None,
        out_dot_general: DotGeneralT | None = None,
        qkv_dot_general_cls: Any = None,
        out_dot_general_cls: Any = None,
        rngs: Rngs,
        keep_rngs: bool = True,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        out_kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        out_bias_metadata: Mapping[str, Any] = NO_METADATA,
        query_ln_scale_metadata: Mapping[str, Any] = NO_METADATA,
        key_ln_scale_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        features = in_features if qkv_features is None else qkv_features
        kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        _check_heads(features, num_heads, kv_heads)
        head_dim = features // num_heads
        keep(
            self,
            num_heads=num_heads,
            in_features=in_features,
            qkv_features=features,
            out_features=in_features if out_features is None else out_features,
            in_kv_features=in_features if in_kv_features is None else in_kv_features,
            num_kv_heads=kv_heads,
            dtype=dtype,
            param_dtype=param_dtype,
            broadcast_dropout=broadcast_dropout,
            dropout_rate=dropout_rate,
            deterministic=deterministic,
            precision=precision,
            use_bias=use_bias,
            attention_fn=attention_fn,
            decode=decode,
            normalize_qk=normalize_qk,
            qkv_promote_dtype=qkv_promote_dtype,
            out_promote_dtype=out_promote_dtype,
            ln_promote_dtype=ln_promote_dtype,
            qkv_dot_general=qkv_dot_general,
            out_dot_general=out_dot_general,
            qkv_dot_general_cls=qkv_dot_general_cls,
            out_dot_general_cls=out_dot_general_cls,
            head_dim=head_dim,
        )
        common: dict[str, Any] = {
            "dtype": dtype,
            "param_dtype": param_dtype,
            "precision": precision,
            "use_bias": use_bias,
            "rngs": rngs,
        }
        for name, size, heads in (
            ("query", in_features, num_heads),
            ("key", self.in_kv_features, kv_heads),
            ("value", self.in_kv_features, kv_heads),
        ):
            projection = LinearGeneral(
                size,
                (heads, head_dim),
                kernel_init=kernel_init,
                bias_init=bias_init,
                promote_dtype=qkv_promote_dtype,
                dot_general=qkv_dot_general,
                dot_general_cls=qkv_dot_general_cls,
                kernel_metadata=kernel_metadata,
                bias_metadata=bias_metadata,
                **common,
            )
            setattr(self, name, projection)
        for name, metadata in (
            ("query_ln", query_ln_scale_metadata),
            ("key_ln", key_ln_scale_metadata),
        ):
            setattr(self, name, data(None))
            if normalize_qk:
                normalisation = LayerNorm(
                    head_dim,
                    use_bias=False,
                    dtype=dtype,
                    param_dtype=param_dtype,
                    promote_dtype=ln_promote_dtype,
                    rngs=rngs,
                    scale_metadata=metadata,
                )
                setattr(self, name, normalisation)
        self.out = LinearGeneral(
            (num_heads, head_dim),
            self.out_features,
            axis=(-2, -1),
            kernel_init=out_kernel_init or kernel_init,
            bias_init=out_bias_init or bias_init,
            promote_dtype=out_promote_dtype,
            dot_general=out_dot_general,
            dot_general_cls=out_dot_general_cls,
            kernel_metadata=out_kernel_metadata,
            bias_metadata=out_bias_metadata,
            **common,
        )
        self.rngs = rngs.dropout.fork() if keep_rngs and dropout_rate > 0 else None
        self.cached_key = data(None)
        self.cached_value = data(None)
        self.cache_index = data(None)

    def __call__(
        self,
        inputs_q: Array,
        inputs_k: Array | None = None,
        inputs_v: Array | None = None,
        *,
        mask: Array | None = None,
        deterministic: bool | None = None,
        rngs: Rngs | RngStream | None = None,
        sow_weights: bool = False,
        decode: bool | None = None,
        is_causal: bool = False,
        out_sharding: Any = None,
        qkv_sharding: Any = None,
        input_positions: Array | None = None,
    ) -> Array:
        """Attend.

        Args:
          inputs_q: ``[batch..., q, in_features]``, from which queries are made.
          inputs_k: ``[batch..., k, in_kv_features]``, for the keys; by default `inputs_q`.
          inputs_v: likewise for the values; by default `inputs_k`.
          mask: where a query may look; broadcastable to ``[batch..., heads, q, k]``.
          deterministic: overrides the attribute.
          rngs: a stream, or an `Rngs` with a stream "dropout", to use in place of that of the
            layer.
          sow_weights: store the attention weights as an `Intermediate`, "attention_weights".
          decode: overrides the attribute.
          is_causal: whether a query sees no later positions. While decoding it never does.
          out_sharding: how the result is laid out over devices.
          qkv_sharding: how queries, keys and values are laid out over devices.
          input_positions: ``[batch..., q]``, where queries and keys stand, for attention that asks
            for it, see `dot_product_attention_with_rope`. While decoding, the position of the
            query, by default its place in the cache; keys before it stand without a gap.

        Returns:
          ``[batch..., q, out_features]``.

        Raises:
          ValueError: if the inputs do not fit, there is no cache to decode with or it is full
            (`ramie.ops.attention.check_room`), or dropout lacks `deterministic` or random numbers.
        """
        inputs_k, inputs_v = self._inputs(inputs_q, inputs_k, inputs_v)
        query = self.query(inputs_q, out_sharding=qkv_sharding)
        key = self.key(inputs_k, out_sharding=qkv_sharding)
        value = self.value(inputs_v, out_sharding=qkv_sharding)
        if self.query_ln is not None and self.key_ln is not None:
            query, key = self.query_ln(query), self.key_ln(key)
        decodes = first_from(
            decode,
            self.decode,
            error_msg="No `decode` argument was provided to MultiHeadAttention: nothing says "
            "whether this is one position after others. Give it to the constructor or to the call, "
            "or set it with model.set_attributes(decode=False).",
        )
        positions: dict[str, Array] = {}
        if input_positions is not None:
            positions["input_positions"] = input_positions
        if decodes:
            positions |= self._positions(input_positions)
            key, value, mask = self._remember(query, key, value, mask)
        drops, dropout_rng = self._dropout(deterministic, rngs)
        x = self.attention_fn(
            query,
            key,
            value,
            mask=mask,
            dropout_rng=dropout_rng,
            dropout_rate=self.dropout_rate,
            broadcast_dropout=self.broadcast_dropout,
            deterministic=not drops,
            dtype=self.dtype,
            precision=self.precision,
            module=self if sow_weights else None,
            # The mask of the cache lets the one query see what came before.
            is_causal=is_causal and not decodes,
            **positions,
        )
        y: Array = self.out(x, out_sharding=out_sharding)
        return y

    def _inputs(self, q: Array, k: Array | None, v: Array | None) -> tuple[Array, Array]:
        """Fill in the inputs that were left out."""
        if k is None:
            if v is not None:
                raise ValueError(
                    "`inputs_k` cannot be None if `inputs_v` is not None, but has shape "
                    f"{v.shape}. To use one input for both, pass it as `inputs_k` alone."
                )
            k = q
        v = k if v is None else v
        sizes = (self.in_features, self.in_kv_features, self.in_kv_features)
        for name, x, size in zip(
            ("inputs_q", "inputs_k", "inputs_v"), (q, k, v), sizes, strict=True
        ):
            if x.shape[-1] != size:
                raise ValueError(
                    f"Incompatible input dimension, got {x.shape[-1]} but module expects {size}: "
                    f"{name} of {place(self)} has shape {x.shape}."
                )
        return k, v

    def _remember(
        self, query: Array, key: Array, value: Array, mask: Array | None
    ) -> tuple[Array, Array, Array | None]:
        """Write key and value of this position into the caches, and read all up to it."""
        if self.cached_key is None or self.cached_value is None or self.cache_index is None:
            raise ValueError(
                "Autoregressive cache not initialized, call ``init_cache`` first: with decode=True "
                f"MultiHeadAttention remembers keys and values of {self.num_heads} heads, and "
                "needs to know how many."
            )
        *batch, length, heads, depth = raw(self.cached_key).shape
        expected = (*batch, 1, heads, depth)
        if key.shape != expected or query.shape[:-2] != expected[:-2]:
            raise ValueError(
                "Autoregressive cache shape error: MultiHeadAttention has a cache for keys of "
                f"shape {expected}, one position at a time, and got {key.shape} for queries of "
                f"shape {query.shape}."
            )
        position = raw(self.cache_index)
        decoding.check_room(position, length, "MultiHeadAttention")
        cached_key, cached_value, following = decoding.update_cache(
            raw(self.cached_key), raw(self.cached_value), position, key, value
        )
        write(self, cached_key=cached_key, cached_value=cached_value, cache_index=following)
        seen = decoding.cached_positions_mask(position, batch, length)
        known = cast(cached_key, key.dtype), cast(cached_value, value.dtype)
        return *known, combine_masks(mask, seen)

    def _positions(self, given: Array | None) -> dict[str, Array]:
        """Return where the query of a step and cached keys stand, if attention asks for both."""
        if self.cache_index is None or self.cached_key is None:
            return {}
        if not _takes_positions(self.attention_fn):
            return {}
        length = raw(self.cached_key).shape[-3]
        query, keys = rotary.shifted_positions(raw(self.cache_index), length, given)
        return {"input_positions": query, "key_positions": keys}

    def _dropout(self, deterministic: bool | None, rngs: Any) -> tuple[bool, PRNGKey | None]:
        """Tell whether weights are dropped, and by which key."""
        if self.dropout_rate <= 0.0:
            return False, None
        if first_from(
            deterministic,
            self.deterministic,
            error_msg="No `deterministic` argument was provided to MultiHeadAttention: nothing "
            "says whether to drop attention weights. Give it to the constructor or to the call, or "
            "call model.train() or model.eval().",
        ):
            return False, None
        rngs = self.rngs if rngs is None else rngs
        if rngs is None:
            raise ValueError(
                "'rngs' must be provided to __call__ method if MultiHeadAttention instance is "
                f"defined with keep_rngs=False and dropout_rate={self.dropout_rate}."
            )
        return True, of_stream(rngs, "dropout", self)()

    def init_cache(self, input_shape: Shape, dtype: Dtype = jnp.float32) -> None:
        """Make an empty cache to decode with.

        Args:
          input_shape: the shape of the whole input, ``[batch..., length, features]``.
          dtype: the dtype of cached keys and values; they are read in that of new ones.
        """
        self._make_cache((), input_shape[:-1], dtype)

    def _make_cache(self, layers: Shape, places: Shape, dtype: Dtype) -> None:
        shape = (*layers, *places, self.num_kv_heads, self.head_dim)
        self.cached_key = Cache(filled(shape, 0, dtype))
        self.cached_value = Cache(filled(shape, 0, dtype))
        self.cache_index = Cache(filled(layers, 0, jnp.int32))

    def set_view(
        self,
        deterministic: bool | None = None,
        decode: bool | None = None,
        batch_size: int | Shape | None = None,
        max_length: int | None = None,
    ) -> None:
        """Change how this layer works, as `ramie.nnx.view` does in all layers of a copy.

        A new cache has the dtype of the layer's keys. In layers that are stacked along a first
        axis, as those of `nnx.Repeat` are with ``scan=True``, it is stacked likewise.

        Args:
          deterministic: whether to drop no attention weights.
          decode: whether to take one position at a time.
          batch_size: the batch axes of a new cache, a number or several; with `max_length`.
          max_length: how many positions a new cache holds; with `batch_size`.

        Raises:
          ValueError: if only one of the last two is given.
        """
        if deterministic is not None:
            self.deterministic = deterministic
        if decode is not None:
            self.decode = decode
        if (batch_size is None) != (max_length is None):
            raise ValueError(
                "A new cache of MultiHeadAttention needs batch_size and max_length, but got "
                f"batch_size={batch_size}, max_length={max_length}."
            )
        if batch_size is not None and max_length is not None:
            # Somebody may have put another module in place of `key`.
            kernel = getattr(self.key, "kernel", None)
            layers = () if kernel is None else kernel.shape[:-3]  # before [features, heads, depth]
            dtype = self.param_dtype if self.dtype is None else self.dtype
            self._make_cache(layers, (*linear.as_tuple(batch_size), max_length), dtype)


def _takes_positions(attention_fn: Callable[..., Any]) -> bool:
    """Tell whether an attention function has parameters for positions of queries and of keys."""
    try:
        parameters = inspect.signature(attention_fn).parameters
    except (TypeError, ValueError):
        return False
    return {"input_positions", "key_positions"} <= parameters.keys()


def _check_heads(features: int, num_heads: int, num_kv_heads: int) -> None:
    if features % num_heads:
        raise ValueError(
            f"Memory dimension ({features}) must be divisible by 'num_heads' heads ({num_heads}). "
            "In MultiHeadAttention it is the features of all heads together."
        )
    if num_heads % num_kv_heads:
        raise ValueError(
            f"num_heads ({num_heads}) must be divisible by num_kv_heads ({num_kv_heads}): each "
            "head of keys and values serves as many heads of queries."
        )
