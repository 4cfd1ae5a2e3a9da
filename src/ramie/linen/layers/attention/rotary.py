"""Rotary position embedding, and attention that uses it."""

from collections.abc import Callable

from ramie.linen.layers.attention.multi_head import dot_product_attention
from ramie.linen.module import Module
from ramie.ops.attention import rotary
from ramie.ops.attention.checks import check_inputs
from ramie.typing import Array, Dtype, PrecisionLike, PRNGKey

__all__ = ["RoPE", "dot_product_attention_with_rope"]


class RoPE(Module):
    """Turn pairs of features by angles that grow with the position.

    Products of a query and a key then depend on how far apart they stand. There are no parameters.

    Attributes:
      theta: what the slowest angles are a power of.

    Example:
      >>> import jax, ramie.linen as nn
      >>> nn.RoPE().apply({}, jax.numpy.ones((2, 5, 8))).shape
      (2, 5, 8)

    Reference:
      Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding",
      arXiv 2104.09864.

    Differs from Flax: there it is a layer of NNX only.
    """

    theta: float = 10000.0

    def __call__(self, x: Array, input_positions: Array | None = None) -> Array:
        """Turn vectors.

        Args:
          x: ``[..., length, size]``, of an even size.
          input_positions: ``[..., length]``, where they stand; by default from 0 on. Batch axes
            broadcast to those of `x`.

        Returns:
          An array of that shape, in the dtype to which `x` and a default float promote.

        Raises:
          ValueError: if the sizes do not fit.
        """
        return rotary.rotary_embedding(
            x, input_positions, theta=self.theta, owner=type(self).__name__
        )


def dot_product_attention_with_rope(
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
    *,
    theta: float = 10000.0,
    input_positions: Array | None = None,
    key_positions: Array | None = None,
) -> Array:
    """Average values by how well their keys fit each query, both turned by their positions.

    ``query: [batch..., q, heads, depth], key: [batch..., k, heads, depth],
    value: [batch..., k, heads, out] -> [batch..., q, heads, out]``.

    It is an `attention_fn` for `MultiHeadDotProductAttention`, which tells it while decoding where
    the query and the keys in the cache stand.

    Args:
      query: queries.
      key: keys.
      value: values.
      bias: see `dot_product_attention`, as for all that follow up to `theta`.
      mask: where a query may look.
      broadcast_dropout: whether all batch entries and heads share one draw.
      dropout_rng: random key for dropout.
      dropout_rate: probability of a weight to become zero.
      deterministic: switch dropout off.
      dtype: dtype of the computation.
      precision: of the products.
      module: a module that stores the weights.
      force_fp32_for_softmax: take the softmax in float32.
      einsum_dot_general: used in place of `jax.lax.dot_general`.
      qk_attn_weights_einsum: used in place of the product of queries and keys.
      attn_weights_value_einsum: used in place of the product of weights and values.
      theta: what the slowest angles are a power of; set another one with `functools.partial`.
      input_positions: ``[batch..., q]``, where queries stand, and keys too unless they have
        positions of their own; by default from 0 on.
      key_positions: ``[batch..., k]``, where keys stand.

    Raises:
      ValueError: if shapes do not fit together, and as `dot_product_attention` does.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.MultiHeadDotProductAttention(
      ...     num_heads=2, attention_fn=nn.dot_product_attention_with_rope)
      >>> layer.init_with_output(jax.random.key(0), jax.numpy.ones((3, 5, 8)))[0].shape
      (3, 5, 8)

    Reference:
      Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding",
      arXiv 2104.09864.
    """
    check_inputs(query, key, value)
    turn = RoPE(theta, parent=None)
    key_positions = input_positions if key_positions is None else key_positions
    return dot_product_attention(
        rotary.turned_heads(turn, query, input_positions),
        rotary.turned_heads(turn, key, key_positions),
        value,
        bias,
        mask,
        broadcast_dropout,
        dropout_rng,
        dropout_rate,
        deterministic,
        dtype,
        precision,
        module,
        force_fp32_for_softmax,
        einsum_dot_general,
        qk_attn_weights_einsum,
        attn_weights_value_einsum,
    )
