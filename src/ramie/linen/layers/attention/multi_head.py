"""Attention layers, and attention as a function that can store its weights in a module."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ramie.core.inspection.summary_text import without_addresses
from ramie.linen.layers.linear import DenseGeneral, default_kernel_init, place
from ramie.linen.layers.norm import LayerNorm
from ramie.linen.module import Module, compact, merge_param, nowrap
from ramie.ops import initializers
from ramie.ops.attention import decoding, rotary
from ramie.ops.attention import dot_product as attention
from ramie.ops.attention.checks import check_inputs
from ramie.ops.attention.dot_product import combine_masks as combine_masks
from ramie.ops.attention.dot_product import make_attention_mask as make_attention_mask
from ramie.ops.attention.dot_product import make_causal_mask as make_causal_mask
from ramie.ops.dtypes import promote_dtype
from ramie.ops.moments import cast
from ramie.ops.stochastic import check_rate
from ramie.typing import Array, DotGeneralT, Dtype, Initializer, PrecisionLike, PRNGKey

__all__ = [
    "MultiHeadAttention",
    "MultiHeadDotProductAttention",
    "SelfAttention",
    "combine_masks",
    "dot_product_attention",
    "dot_product_attention_weights",
    "make_attention_mask",
    "make_causal_mask",
]


def _weights_and_factor(
    query: Array,
    key: Array,
    bias: Array | None,
    mask: Array | None,
    broadcast_dropout: bool,
    dropout_rng: PRNGKey | None,
    dropout_rate: float,
    deterministic: bool,
    module: Module | None,
    **config: Any,
) -> tuple[Array, Array | None]:
    """Return attention weights, stored in `module` if given, and the factor of their dropout."""
    weights = attention.attention_weights(query, key, bias, mask, **config)
    if module is not None:
        module.sow("intermediates", "attention_weights", weights)
    if deterministic or dropout_rate == 0.0:
        return weights, None
    return weights, attention.dropout_factor(
        dropout_rng, dropout_rate, weights.shape, query.dtype, broadcast_dropout
    )


def dot_product_attention_weights(
    query: Array,
    key: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    broadcast_dropout: bool = True,
    dropout_rng: PRNGKey | None = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    dtype: Dtype | None = None,
    precision: PrecisionLike = None,
    module: Module | None = None,
    force_fp32_for_softmax: bool = False,
    einsum_dot_general: Callable[..., Array] | None = None,
    einsum: Callable[..., Array] | None = None,
) -> Array:
    """Compute how much each query attends to each key.

    ``query: [batch..., q, heads, depth], key: [batch..., k, heads, depth]
    -> [batch..., heads, q, k]``.

    Args:
      query: queries.
      key: keys.
      bias: added to the scores; broadcastable to the result.
      mask: where a query may look; broadcastable to the result.
      broadcast_dropout: whether all batch entries and heads share one draw.
      dropout_rng: random key for dropout.
      dropout_rate: probability of a weight to become zero.
      deterministic: switch dropout off.
      dtype: dtype of the computation; by default what query and key promote to.
      precision: of the product.
      module: a module in whose collection "intermediates" the weights are stored, before dropout,
        as "attention_weights".
      force_fp32_for_softmax: take the softmax in float32, and leave the weights there.
      einsum_dot_general: used in place of `jax.lax.dot_general`.
      einsum: used in place of the product as a whole.

    Returns:
      The weights. Without dropout they sum to one over keys.

    Raises:
      ValueError: if shapes do not fit together, `einsum` is given together with what it replaces,
        or dropout has no key or no rate in [0, 1].
    """
    if einsum is not None and (precision is not None or einsum_dot_general is not None):
        raise ValueError(
            "einsum replaces the whole product, so precision and einsum_dot_general would have no "
            f"effect: pass either it or them. Found precision={precision!r} and "
            f"einsum_dot_general={einsum_dot_general!r}."
        )
    query, key = promote_dtype(query, key, dtype=dtype)
    check_inputs(query, key)
    weights, factor = _weights_and_factor(
        query,
        key,
        bias,
        mask,
        broadcast_dropout,
        dropout_rng,
        dropout_rate,
        deterministic,
        module,
        precision=precision,
        in_float32=force_fp32_for_softmax,
        dot_general=einsum_dot_general,
        einsum=einsum,
    )
    return weights if factor is None else attention.dropped(weights, factor)


def dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    broadcast_dropout: bool = True,
    dropout_rng: PRNGKey | None = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    dtype: Dtype | None = None,
    precision: PrecisionLike = None,
    module: Module | None = None,
    force_fp32_for_softmax: bool = False,
    einsum_dot_general: Callable[..., Array] | None = None,
    qk_attn_weights_einsum: Callable[..., Array] | None = None,
    attn_weights_value_einsum: Callable[..., Array] | None = None,
) -> Array:
    """Average values by how well their keys fit each query.

    ``query: [batch..., q, heads, depth], key: [batch..., k, heads, depth],
    value: [batch..., k, heads, out] -> [batch..., q, heads, out]``.

    Args:
      query: queries.
      key: keys.
      value: values.
      bias: added to the scores; broadcastable to ``[batch..., heads, q, k]``.
      mask: where a query may look; broadcastable likewise.
      broadcast_dropout: whether all batch entries and heads share one draw.
      dropout_rng: random key for dropout.
      dropout_rate: probability of a weight to become zero.
      deterministic: switch dropout off.
      dtype: dtype of the computation; by default what the arrays promote to.
      precision: of the products.
      module: a module that stores the weights, see `dot_product_attention_weights`.
      force_fp32_for_softmax: take the softmax in float32.
      einsum_dot_general: used in place of `jax.lax.dot_general`.
      qk_attn_weights_einsum: used in place of the product of queries and keys.
      attn_weights_value_einsum: used in place of the product of weights and values; only both
        together.

    Raises:
      ValueError: if shapes do not fit together, arguments exclude each other, or dropout has no key
        or no rate in [0, 1].

    Reference:
      Vaswani et al., "Attention Is All You Need".
    """
    if (qk_attn_weights_einsum is None) != (attn_weights_value_einsum is None):
        raise ValueError(
            "qk_attn_weights_einsum and attn_weights_value_einsum replace the two products of "
            "attention and must be specified together. Found "
            f"qk_attn_weights_einsum={qk_attn_weights_einsum!r} and "
            f"attn_weights_value_einsum={attn_weights_value_einsum!r}."
        )
    if qk_attn_weights_einsum is not None and not (precision is None is einsum_dot_general):
        raise ValueError(
            "qk_attn_weights_einsum and attn_weights_value_einsum replace the whole products, so "
            "precision and einsum_dot_general would have no effect: pass either these or those. "
            f"Found precision={precision!r} and einsum_dot_general={einsum_dot_general!r}."
        )
    query, key, value = promote_dtype(query, key, value, dtype=dtype)
    check_inputs(query, key, value)
    weights, factor = _weights_and_factor(
        query,
        key,
        bias,
        mask,
        broadcast_dropout,
        dropout_rng,
        dropout_rate,
        deterministic,
        module,
        precision=precision,
        in_float32=force_fp32_for_softmax,
        dot_general=einsum_dot_general,
        einsum=qk_attn_weights_einsum,
    )
    return attention.apply_weights(
        weights,
        value,
        factor,
        precision=precision,
        dot_general=einsum_dot_general,
        einsum=attn_weights_value_einsum,
    )


def _accepted(attention_fn: Callable[..., Any]) -> frozenset[str]:
    """Return the names of parameters; nothing is kept, for functions need not be hashable.

    Raises:
      ValueError: if it says of itself that it cannot be called, such as a partial of a function
        with a name that the function does not take.
    """
    try:
        return frozenset(inspect.signature(attention_fn).parameters)
    except ValueError as error:
        raise ValueError(
            without_addresses(f"attention_fn={attention_fn!r} cannot be called: {error}. ")
            + "Look at the names that a functools.partial binds; rotary attention of Linen takes "
            "theta=, and no rope=."
        ) from error


def _cache_index() -> Array:
    return jnp.array(0, jnp.int32)


class MultiHeadDotProductAttention(Module):
    """Attention with several heads, between linear maps.

    Submodules: ``query``, ``key`` and ``value``, which map features to ``[heads, depth]``, and
    ``out``, which maps back; with `normalize_qk` also ``query_ln`` and ``key_ln``. With `decode`
    there are three variables in the collection "cache": ``cached_key``, ``cached_value`` and
    ``cache_index``. The shapes of the caches are those of the keys seen at initialisation.

    Attributes:
      num_heads: number of heads; it divides `qkv_features`.
      dtype: dtype of the computation; by default what inputs and parameters promote to.
      param_dtype: dtype in which parameters are initialised.
      qkv_features: features of all heads together; by default those of the queries.
      out_features: features of the result; by default those of the queries.
      broadcast_dropout: whether all batch entries and heads share one draw.
      dropout_rate: probability of an attention weight to become zero.
      deterministic: switch dropout off. It can be given to the call instead.
      precision: of the products.
      kernel_init: initializer of the kernels.
      out_kernel_init: initializer of the last kernel; by default `kernel_init`.
      bias_init: initializer of the biases.
      out_bias_init: initializer of the last bias; by default `bias_init`.
      use_bias: whether the linear maps have biases.
      attention_fn: the attention itself. It gets query, key and value, and of the arguments of
        `dot_product_attention` those that its signature names.
      decode: take one position at a time, and remember keys and values of those before.
      normalize_qk: normalise queries and keys, head by head, before they meet.
      force_fp32_for_softmax: take the softmax in float32.
      qkv_dot_general: used in place of `jax.lax.dot_general` in the first maps.
      out_dot_general: used in place of it in the last map.
      qkv_dot_general_cls: a class whose instance is used as `qkv_dot_general`.
      out_dot_general_cls: a class whose instance is used as `out_dot_general`.
      qk_attn_weights_einsum_cls: makes the einsum of queries and keys.
      attn_weights_value_einsum_cls: makes the einsum of weights and values; only both together.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.MultiHeadDotProductAttention(num_heads=2)
      >>> x = jax.numpy.ones((3, 5, 8))
      >>> mask = nn.make_causal_mask(x[..., 0])
      >>> y, variables = layer.init_with_output(jax.random.key(0), x, mask=mask)
      >>> y.shape, variables["params"]["query"]["kernel"].shape
      ((3, 5, 8), (8, 2, 4))

    Differs from Flax: heads that do not come out even raise ValueError, not AssertionError; a rate
    of dropout outside of [0, 1] is an error, and at 1 the weights are zero, not NaN.
    """

    num_heads: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    qkv_features: int | None = None
    out_features: int | None = None
    broadcast_dropout: bool = True
    dropout_rate: float = 0.0
    deterministic: bool | None = None
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    out_kernel_init: Initializer | None = None
    bias_init: Initializer = initializers.zeros
    out_bias_init: Initializer | None = None
    use_bias: bool = True
    attention_fn: Callable[..., Array] = dot_product_attention
    decode: bool = False
    normalize_qk: bool = False
    force_fp32_for_softmax: bool = False
    qkv_dot_general: DotGeneralT | None = None
    out_dot_general: DotGeneralT | None = None
    qkv_dot_general_cls: Any = None
    out_dot_general_cls: Any = None
    qk_attn_weights_einsum_cls: Callable[..., Callable[..., Array]] | None = None
    attn_weights_value_einsum_cls: Callable[..., Callable[..., Array]] | None = None

    @compact
    def __call__(
        self,
        inputs_q: Array,
        inputs_k: Array | None = None,
        inputs_v: Array | None = None,
        *,
        inputs_kv: Array | None = None,
        mask: Array | None = None,
        deterministic: bool | None = None,
        dropout_rng: PRNGKey | None = None,
        sow_weights: bool = False,
        input_positions: Array | None = None,
    ) -> Array:
        """Attend.

        Args:
          inputs_q: ``[batch..., q, features]``, from which queries are made.
          inputs_k: ``[batch..., k, features]``, for the keys; by default `inputs_q`.
          inputs_v: likewise for the values; by default `inputs_k`.
          inputs_kv: an old spelling of `inputs_k`.
          mask: where a query may look; broadcastable to ``[batch..., heads, q, k]``.
          deterministic: as the attribute; give one of the two if there is dropout.
          dropout_rng: a key to use in place of one from the random stream "dropout".
          sow_weights: store the attention weights in the collection "intermediates".
          input_positions: ``[batch..., q]``, where queries and keys stand, for attention that asks
            for it, see `dot_product_attention_with_rope`. While decoding, the position of the
            query, by default its place in the cache; keys before it stand without a gap.

        Returns:
          ``[batch..., q, out_features]``.

        Raises:
          InvalidRngError: if dropout is on and has no random stream.
          ModifyScopeVariableError: if `decode` is set and "cache" is not mutable.
          ValueError: if the inputs contradict each other or do not fit, the dropout rate lies
            outside of [0, 1], or the cache is full (`ramie.ops.attention.check_room`).
        """
        inputs_k, inputs_v = _keys_and_values(inputs_q, inputs_k, inputs_v, inputs_kv)
        query, key, value = self._project(inputs_q, inputs_k, inputs_v)
        positions = self._positions(input_positions)
        if self.decode:
            key, value, mask = self._remember(query, key, value, mask)

        dropout = False
        if check_rate(self.dropout_rate) > 0.0:
            dropout = not merge_param("deterministic", self.deterministic, deterministic)
            if dropout and dropout_rng is None:
                dropout_rng = self.make_rng("dropout")
        x = self._attend(query, key, value, mask, dropout, dropout_rng, sow_weights, positions)

        return DenseGeneral(
            features=self.out_features or inputs_q.shape[-1],
            axis=(-2, -1),
            kernel_init=self.out_kernel_init or self.kernel_init,
            bias_init=self.out_bias_init or self.bias_init,
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            precision=self.precision,
            dot_general=self.out_dot_general,
            dot_general_cls=self.out_dot_general_cls,
            name="out",
        )(x)

    @nowrap
    def _project(self, q: Array, k: Array, v: Array) -> tuple[Array, Array, Array]:
        """Map the inputs to queries, keys and values per head."""
        features = self.qkv_features or q.shape[-1]
        if features % self.num_heads:
            raise ValueError(
                f"Memory dimension ({features}) must be divisible by number of heads "
                f"({self.num_heads}): in {place(self)} it is the features of all heads together."
            )

        def projection(name: str, x: Array) -> Array:
            y: Array = DenseGeneral(
                features=(self.num_heads, features // self.num_heads),
                kernel_init=self.kernel_init,
                bias_init=self.bias_init,
                use_bias=self.use_bias,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                precision=self.precision,
                dot_general=self.qkv_dot_general,
                dot_general_cls=self.qkv_dot_general_cls,
                name=name,
            )(x)
            return y

        def normalized(name: str, x: Array) -> Array:
            y: Array = LayerNorm(
                use_bias=False, dtype=self.dtype, param_dtype=self.param_dtype, name=name
            )(x)
            return y

        query, key, value = projection("query", q), projection("key", k), projection("value", v)
        if self.normalize_qk:
            query, key = normalized("query_ln", query), normalized("key_ln", key)
        return query, key, value

    @nowrap
    def _remember(
        self, query: Array, key: Array, value: Array, mask: Array | None
    ) -> tuple[Array, Array, Array | None]:
        """Write key and value of this position into the caches, and read all up to it.

        The first call, which makes the caches, attends as if there were none.
        """
        filled = self.has_variable("cache", "cached_key")
        cached_key = self.variable("cache", "cached_key", jnp.zeros, key.shape, key.dtype)
        cached_value = self.variable("cache", "cached_value", jnp.zeros, value.shape, value.dtype)
        index = self.variable("cache", "cache_index", _cache_index)
        if not filled:
            return key, value, mask
        *batch, length, heads, depth = cached_key.value.shape
        expected = (*batch, 1, heads, depth)
        if query.shape != expected:
            raise ValueError(
                f"Autoregressive cache shape error, expected query shape {expected} instead got "
                f"{query.shape}: {place(self)} takes one position at a time."
            )
        position = index.value
        decoding.check_room(position, length, place(self))
        cached_key.value, cached_value.value, index.value = decoding.update_cache(
            cached_key.value, cached_value.value, position, key, value
        )
        seen = decoding.cached_positions_mask(position, batch, length)
        known = cast(cached_key.value, key.dtype), cast(cached_value.value, value.dtype)
        return *known, combine_masks(mask, seen)

    @nowrap
    def _positions(self, given: Array | None) -> dict[str, Array]:
        """Return where queries and keys stand, as far as attention has to be told."""
        if not _accepted(self.attention_fn).issuperset(("input_positions", "key_positions")):
            if given is not None and "input_positions" not in _accepted(self.attention_fn):
                raise ValueError(
                    f"{place(self)} got input_positions of shape {np.shape(given)}, but its "
                    "attention_fn takes none: use dot_product_attention_with_rope, or a function "
                    "with a parameter of that name."
                )
        elif self.decode and self.has_variable("cache", "cached_key"):
            index = self.get_variable("cache", "cache_index")
            length = self.get_variable("cache", "cached_key").shape[-3]
            query, keys = rotary.shifted_positions(index, length, given)
            return {"input_positions": query, "key_positions": keys}
        return {} if given is None else {"input_positions": given}

    @nowrap
    def _attend(
        self,
        query: Array,
        key: Array,
        value: Array,
        mask: Array | None,
        dropout: bool,
        dropout_rng: PRNGKey | None,
        sow_weights: bool,
        positions: dict[str, Array],
    ) -> Array:
        scores_cls, values_cls = (
            self.qk_attn_weights_einsum_cls,
            self.attn_weights_value_einsum_cls,
        )
        offered = {
            "mask": mask,
            "dropout_rng": dropout_rng,
            "dropout_rate": self.dropout_rate,
            "broadcast_dropout": self.broadcast_dropout,
            "deterministic": not dropout,
            "dtype": self.dtype,
            "precision": self.precision,
            "force_fp32_for_softmax": self.force_fp32_for_softmax,
            "qk_attn_weights_einsum": scores_cls() if scores_cls else None,
            "attn_weights_value_einsum": values_cls() if values_cls else None,
        }
        attend = self.attention_fn
        if attend is not dot_product_attention:
            if self.decode and query.shape[-3] == 1:
                offered["is_causal"] = False  # the mask of the cache says what the query sees
            accepted = _accepted(attend)
            offered = {name: x for name, x in (offered | positions).items() if name in accepted}
        if sow_weights:
            offered["module"] = self
        return attend(query, key, value, **offered)


def _keys_and_values(
    q: Array, k: Array | None, v: Array | None, kv: Array | None
) -> tuple[Array, Array]:
    """Fill in the inputs that were left out."""
    if kv is not None:
        if k is not None or v is not None:
            raise ValueError(
                "If either `inputs_k` or `inputs_v` is not None, `inputs_kv` must be None. Prefer "
                f"the former two. Found inputs_kv of shape {np.shape(kv)}."
            )
        warnings.warn(
            "The inputs_kv arg will be deprecated soon. Use inputs_k, and inputs_v where it "
            "differs.",
            DeprecationWarning,
            stacklevel=3,
        )
        return kv, kv
    if k is None:
        if v is not None:
            raise ValueError(
                "`inputs_k` cannot be None if `inputs_v` is not None. To use one input for both, "
                f"pass it as `inputs_k` alone. Found inputs_v of shape {np.shape(v)}."
            )
        return q, q
    if v is None:
        return k, k
    if np.ndim(v) == np.ndim(q) + 1 and np.shape(v)[-2:] == (np.shape(q)[-2], np.shape(k)[-2]):
        warnings.warn(
            f"inputs_v has the shape {np.shape(v)} of a mask. Since Flax 0.7.4 the function "
            "signature of MultiHeadDotProductAttention's `__call__` method has changed: a mask is "
            "a keyword argument, mask=....",
            DeprecationWarning,
            stacklevel=3,
        )
    return k, v


class MultiHeadAttention(MultiHeadDotProductAttention):
    """Another name of `MultiHeadDotProductAttention`; submodules get their automatic name from it.

    Example:
      >>> import jax, ramie.linen as nn
      >>> x = jax.numpy.ones((3, 5, 8))
      >>> nn.MultiHeadAttention(num_heads=2).init_with_output(jax.random.key(0), x)[0].shape
      (3, 5, 8)
    """


class SelfAttention(MultiHeadDotProductAttention):
    """Attention of an input to itself. Deprecated: `MultiHeadDotProductAttention` does it too."""

    @compact
    def __call__(  # type: ignore[override]
        self,
        inputs_q: Array,
        mask: Array | None = None,
        deterministic: bool | None = None,
        dropout_rng: PRNGKey | None = None,
        sow_weights: bool = False,
    ) -> Array:
        """Attend.

        Args:
          inputs_q: ``[batch..., length, features]``.
          mask: where a query may look; broadcastable to ``[batch..., heads, length, length]``.
          deterministic: as the attribute; give one of the two if there is dropout.
          dropout_rng: a key to use in place of one from the random stream "dropout".
          sow_weights: store the attention weights in the collection "intermediates".

        Returns:
          ``[batch..., length, out_features]``.
        """
        warnings.warn(
            "SelfAttention will be deprecated soon. Call MultiHeadDotProductAttention with one "
            "input instead.",
            DeprecationWarning,
            stacklevel=2,
        )
        return super().__call__(
            inputs_q,
            mask=mask,
            deterministic=deterministic,
            dropout_rng=dropout_rng,
            sow_weights=sow_weights,
        )
