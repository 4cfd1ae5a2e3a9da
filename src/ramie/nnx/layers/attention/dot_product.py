"""Attention as a function: how much queries attend to keys, and the average of values by it."""

from ramie.nnx.layers.dtypes import promote_dtype
from ramie.nnx.modules.module import Module
from ramie.nnx.variable.kinds import Intermediate
from ramie.ops.attention import dot_product as attention
from ramie.ops.attention.checks import check_dropout_rate, check_inputs
from ramie.typing import Array, Dtype, PrecisionLike, PRNGKey, PromoteDtypeFn

__all__ = ["dot_product_attention", "dot_product_attention_weights"]


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
    promote_dtype: PromoteDtypeFn = promote_dtype,
    is_causal: bool = False,
) -> Array:
    """Compute how much each query attends to each key.

    ``query: [batch..., q, heads, depth], key: [batch..., k, heads, depth]
    -> [batch..., heads, q, k]``.

    Args:
      query: queries.
      key: keys; they may have fewer heads, each for as many neighbouring heads of the queries.
      bias: added to the scores; broadcastable to the result.
      mask: where a query may look; broadcastable to the result.
      broadcast_dropout: whether all batch entries and heads share one draw.
      dropout_rng: random key for dropout.
      dropout_rate: probability of a weight to become zero, below 1.
      deterministic: switch dropout off.
      dtype: dtype of the computation; by default what query and key promote to.
      precision: of the product.
      module: a module that stores the weights, before dropout, as "attention_weights".
      promote_dtype: brings query and key to one dtype.
      is_causal: whether a query sees no later positions.

    Returns:
      The weights. Without dropout they sum to one over keys.

    Raises:
      ValueError: if shapes do not fit together, `dropout_rate` is outside of [0, 1), or dropout
        has no key.
    """
    check_dropout_rate(dropout_rate)
    query, key = promote_dtype((query, key), dtype=dtype)
    if is_causal:
        mask = attention.causal_mask(query, key, mask)
    weights = attention.attention_weights(query, key, bias, mask, precision=precision)
    if module is not None:
        module.sow(Intermediate, "attention_weights", weights)
    if deterministic or dropout_rate == 0.0:
        return weights
    factor = attention.dropout_factor(
        dropout_rng, dropout_rate, weights.shape, query.dtype, broadcast_dropout
    )
    return attention.dropped(weights, factor)


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
    promote_dtype: PromoteDtypeFn = promote_dtype,
    is_causal: bool = False,
) -> Array:
    """Average values by how much each query attends to each key.

    ``query: [batch..., q, heads, depth], key: [batch..., k, heads, depth],
    value: [batch..., k, heads, any] -> [batch..., q, heads, any]``.

    Where nothing looks at the weights (no rate of dropout, no `module`, values as deep as keys),
    this is `jax.nn.dot_product_attention`, whose last bits may differ from those of the other way
    and of Linen: it scales scores after the product, and takes the softmax in float32.

    Args:
      query: queries.
      key: keys; they may have fewer heads, each for as many neighbouring heads of the queries.
      value: values, with as many heads as the keys.
      bias: added to the scores; broadcastable to ``[batch..., heads, q, k]``.
      mask: where a query may look; broadcastable likewise.
      broadcast_dropout: whether all batch entries and heads share one draw.
      dropout_rng: random key for dropout.
      dropout_rate: probability of a weight to become zero, below 1.
      deterministic: switch dropout off.
      dtype: dtype of the computation; by default what the arrays promote to.
      precision: of the products.
      module: a module that stores the weights, before dropout, as "attention_weights".
      promote_dtype: brings query, key and value to one dtype.
      is_causal: whether a query sees no later positions.

    Raises:
      ValueError: if shapes do not fit together, `dropout_rate` is outside of [0, 1), or dropout
        has no key.

    Reference:
      Vaswani et al., "Attention Is All You Need"; Ainslie et al., "GQA: Training Generalized
      Multi-Query Transformer Models from Multi-Head Checkpoints".
    """
    check_dropout_rate(dropout_rate)
    query, key, value = promote_dtype((query, key, value), dtype=dtype)
    check_inputs(query, key, value, grouped=True)
    if dropout_rate == 0.0 and module is None and value.shape[-1] == key.shape[-1]:
        return attention.fused_attention(query, key, value, bias, mask, is_causal=is_causal)
    weights = dot_product_attention_weights(
        query,
        key,
        bias,
        mask,
        broadcast_dropout,
        dropout_rng,
        dropout_rate,
        deterministic,
        dtype,
        precision,
        module,
        promote_dtype,
        is_causal,
    )
    return attention.apply_weights(weights, value, precision=precision)
