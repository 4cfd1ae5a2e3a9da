"""Rotary position embedding, and attention that uses it."""

from typing import Any

from ramie.nnx.layers.attention.dot_product import dot_product_attention
from ramie.nnx.layers.parameters import raw
from ramie.nnx.modules.module import Module
from ramie.nnx.objects.marks import data
from ramie.nnx.variable.base import Variable
from ramie.ops.attention import rotary
from ramie.ops.attention.checks import check_inputs
from ramie.typing import Array

__all__ = ["RoPE", "dot_product_attention_with_rope"]


class RoPE(Module):
    """Turn pairs of features by angles that grow with the position.

    Products of a query and a key then depend on how far apart they stand. With both sizes the layer
    keeps sines and cosines for that many positions, in variables ``cached_sin`` and ``cached_cos``
    of shape ``[max_seq_len, embedding_size / 2]`` that are no parameters; without, each call
    computes them.

    Args:
      theta: what the slowest angles are a power of.
      embedding_size: number of features of one vector, in attention of one head; even.
      max_seq_len: number of positions to keep angles for.

    Raises:
      ValueError: if only one of the sizes is given, or `embedding_size` is not positive and even.

    Example:
        >>> import functools
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> rope = nnx.RoPE(embedding_size=4, max_seq_len=16)
        >>> attend = functools.partial(nnx.dot_product_attention_with_rope, rope=rope)
        >>> layer = nnx.MultiHeadAttention(
        ...     2, in_features=8, attention_fn=attend, decode=False, rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((3, 5, 8)), is_causal=True).shape
        (3, 5, 8)

    Reference:
      Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding",
      arXiv 2104.09864.

    Differs from Flax: sequences longer than the tables, and vectors of another size, are a
    ValueError that says so; positions may have batch axes.
    """

    theta: float
    cached_sin: Variable[Array] | None
    cached_cos: Variable[Array] | None

    def __init__(
        self,
        theta: float = 10000.0,
        embedding_size: int | None = None,
        max_seq_len: int | None = None,
    ) -> None:
        rotary.check_table_sizes(embedding_size, max_seq_len)
        self.theta = theta
        self.cached_sin = data(None)
        self.cached_cos = data(None)
        if embedding_size is not None and max_seq_len is not None:
            sin, cos = rotary.first_tables(max_seq_len, embedding_size, theta)
            self.cached_sin, self.cached_cos = Variable(sin), Variable(cos)

    def __call__(self, x: Array, input_positions: Array | None = None) -> Array:
        """Turn vectors.

        Args:
          x: ``[..., length, size]``.
          input_positions: ``[..., length]``, where they stand; by default from 0 on. Batch axes
            broadcast to those of `x`.

        Returns:
          An array of that shape, in the dtype to which `x` and a default float promote.

        Raises:
          ValueError: if the sizes do not fit.
        """
        tables = None
        if self.cached_sin is not None and self.cached_cos is not None:
            tables = raw(self.cached_sin), raw(self.cached_cos)
        owner = type(self).__name__
        return rotary.rotary_embedding(
            x, input_positions, theta=self.theta, tables=tables, owner=owner
        )


def dot_product_attention_with_rope(
    query: Array,
    key: Array,
    value: Array,
    *,
    rope: RoPE,
    input_positions: Array | None = None,
    key_positions: Array | None = None,
    **kwargs: Any,
) -> Array:
    """Average values by how much each query attends to each key, turned by their positions.

    ``query: [batch..., q, heads, depth], key: [batch..., k, heads, depth],
    value: [batch..., k, heads, any] -> [batch..., q, heads, any]``.

    With `rope` bound by `functools.partial`, it is the `attention_fn` of `MultiHeadAttention`,
    which tells it while decoding where the query and the keys in the cache stand.

    Args:
      query: queries.
      key: keys; they may have fewer heads, each for as many neighbouring heads of the queries.
      value: values, with as many heads as the keys.
      rope: turns queries and keys, head by head.
      input_positions: ``[batch..., q]``, where queries stand, and keys too unless they have
        positions of their own; by default from 0 on.
      key_positions: ``[batch..., k]``, where keys stand.
      **kwargs: more for `dot_product_attention`.

    Raises:
      ValueError: if shapes do not fit together, and as `dot_product_attention` does.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> x = jnp.ones((1, 5, 2, 4))
        >>> nnx.dot_product_attention_with_rope(x, x, x, rope=nnx.RoPE()).shape
        (1, 5, 2, 4)

    Reference:
      Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding",
      arXiv 2104.09864.

    Differs from Flax: positions may be given, with or without batch axes; `key_positions`.
    """
    check_inputs(query, key, value, grouped=True)
    key_positions = input_positions if key_positions is None else key_positions
    query = rotary.turned_heads(rope, query, input_positions)
    key = rotary.turned_heads(rope, key, key_positions)
    return dot_product_attention(query, key, value, **kwargs)
