"""Linear maps, convolutions and embeddings on bare scopes.

Dense layers and convolutions bind the Linen layer of their name to the scope, so that parameters
and numbers are the layer's.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from ramie.core.scope.scope import Scope
from ramie.linen.layers import conv as _conv
from ramie.linen.layers import linear as _linear
from ramie.linen.layers.linear import default_embed_init as default_embed_init
from ramie.linen.layers.linear import default_kernel_init as default_kernel_init
from ramie.ops import initializers
from ramie.ops.linear import embed_attend
from ramie.trees import struct
from ramie.typing import Array, Dtype, Initializer, PaddingLike, PrecisionLike

__all__ = [
    "Embedding",
    "conv",
    "conv_transpose",
    "default_embed_init",
    "default_kernel_init",
    "dense",
    "dense_general",
    "embedding",
]


def dense(
    scope: Scope,
    inputs: Array,
    features: int,
    bias: bool = True,
    dtype: Dtype = jnp.float32,
    precision: PrecisionLike = None,
    kernel_init: Initializer = default_kernel_init,
    bias_init: Initializer = initializers.zeros,
) -> Array:
    """Apply a `linen.Dense` whose parameters lie in the scope: ``[..., in] -> [..., features]``."""
    layer: Any = _linear.Dense
    return layer(
        features,
        use_bias=bias,
        dtype=dtype,
        precision=precision,
        kernel_init=kernel_init,
        bias_init=bias_init,
        parent=scope,
    )(inputs)


def dense_general(
    scope: Scope,
    inputs: Array,
    features: int | Sequence[int],
    axis: int | Sequence[int] = -1,
    batch_dims: Sequence[int] = (),
    bias: bool = True,
    dtype: Dtype = jnp.float32,
    kernel_init: Initializer = default_kernel_init,
    bias_init: Initializer = initializers.zeros,
    precision: PrecisionLike = None,
) -> Array:
    """Apply a `linen.DenseGeneral` whose parameters lie in the scope."""
    layer: Any = _linear.DenseGeneral
    return layer(
        features,
        axis=axis,
        batch_dims=batch_dims,
        use_bias=bias,
        dtype=dtype,
        kernel_init=kernel_init,
        bias_init=bias_init,
        precision=precision,
        parent=scope,
    )(inputs)


def conv(
    scope: Scope,
    inputs: Array,
    features: int,
    kernel_size: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: PaddingLike = "SAME",
    input_dilation: Sequence[int] | None = None,
    kernel_dilation: Sequence[int] | None = None,
    feature_group_count: int = 1,
    bias: bool = True,
    dtype: Dtype = jnp.float32,
    precision: PrecisionLike = None,
    kernel_init: Initializer = default_kernel_init,
    bias_init: Initializer = initializers.zeros,
) -> Array:
    """Apply a `linen.Conv` whose parameters lie in the scope."""
    layer: Any = _conv.Conv
    return layer(
        features,
        kernel_size,
        strides=1 if strides is None else strides,
        padding=padding,
        input_dilation=1 if input_dilation is None else input_dilation,
        kernel_dilation=1 if kernel_dilation is None else kernel_dilation,
        feature_group_count=feature_group_count,
        use_bias=bias,
        dtype=dtype,
        precision=precision,
        kernel_init=kernel_init,
        bias_init=bias_init,
        parent=scope,
    )(inputs)


def conv_transpose(
    scope: Scope,
    inputs: Array,
    features: int,
    kernel_size: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: PaddingLike = "SAME",
    kernel_dilation: Sequence[int] | None = None,
    bias: bool = True,
    dtype: Dtype = jnp.float32,
    precision: PrecisionLike = None,
    kernel_init: Initializer = default_kernel_init,
    bias_init: Initializer = initializers.zeros,
) -> Array:
    """Apply a `linen.ConvTranspose` whose parameters lie in the scope."""
    layer: Any = _conv.ConvTranspose
    return layer(
        features,
        kernel_size,
        strides=strides,
        padding=padding,
        kernel_dilation=kernel_dilation,
        use_bias=bias,
        dtype=dtype,
        precision=precision,
        kernel_init=kernel_init,
        bias_init=bias_init,
        parent=scope,
    )(inputs)


@struct.dataclass
class Embedding:
    """A table of vectors, read by index or compared with queries.

    Attributes:
      table: ``[num_embeddings, features]``.
    """

    table: Array

    def lookup(self, indices: Array) -> Array:
        """Read vectors: ``[...]`` of integers ``-> [..., features]``.

        Args:
          indices: negative ones count from the end; those beyond an end give the entry there.

        Raises:
          ValueError: if the indices are not integers.
        """
        indices = jnp.asarray(indices)
        if not jnp.issubdtype(indices.dtype, jnp.integer):
            raise ValueError(
                "Input type must be an integer or unsigned integer: an embedding is read by "
                f"index, but the indices are {indices.dtype}."
            )
        return jnp.asarray(self.table)[indices]

    def attend(self, query: Array) -> Array:
        """Multiply queries with each vector: ``[..., features] -> [..., num_embeddings]``.

        Used to turn the last activations of a model back into scores of the table's entries.
        """
        return embed_attend(jnp.asarray(query), jnp.asarray(self.table))


def embedding(
    scope: Scope, num_embeddings: int, features: int, init_fn: Initializer = default_embed_init
) -> Embedding:
    """Make an `Embedding` whose table is the parameter ``table`` of the scope.

    Args:
      scope: where the parameter lies.
      num_embeddings: number of vectors.
      features: length of a vector.
      init_fn: initializer of the table.

    Example:
      >>> import jax
      >>> from ramie import core
      >>> def model(scope, words):
      ...     return core.nn.embedding(scope, 10, 4).lookup(words)
      >>> y, variables = core.init(model)(jax.random.key(0), jax.numpy.arange(3))
      >>> y.shape, variables["params"]["table"].shape
      ((3, 4), (10, 4))
    """
    return Embedding(scope.param("table", init_fn, (num_embeddings, features)))
