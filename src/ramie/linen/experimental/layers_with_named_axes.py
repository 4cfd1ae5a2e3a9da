"""Dense, Embed and LayerNorm whose parameters carry logical names for their axes.

The names lie in the collection ``params_axes``, see `ramie.linen.partitioning`. Unlike the layers
of `ramie.linen`, these compute in the dtype of their field `dtype`, whatever their input has.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramie.linen.layers.linear import place
from ramie.linen.module import Module, compact
from ramie.linen.sharding.partitioning import param_with_axes as param_with_axes
from ramie.linen.sharding.spmd import with_logical_constraint as with_sharding_constraint
from ramie.ops import initializers as initializers
from ramie.ops import linear, norm
from ramie.typing import Array, DotGeneralT, Dtype, Initializer, PrecisionLike

__all__ = [
    "Activation",
    "Dense",
    "Embed",
    "LayerNorm",
    "default_embed_init",
    "default_kernel_init",
    "param_with_axes",
    "with_sharding_constraint",
]

Activation = Callable[..., Array]

default_kernel_init = initializers.lecun_normal()
default_embed_init = initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)


class Dense(Module):
    """A linear map of the last axis: ``x @ kernel + bias``.

    Parameters: ``kernel [in, features]`` with the names `kernel_axes`, and ``bias [features]`` with
    the last of them.

    Attributes:
      features: the size of the last axis of the result.
      use_bias: whether to add a bias.
      dtype: the dtype to compute in.
      param_dtype: the dtype in which parameters are initialised.
      precision: of the product; see `jax.lax.Precision`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      kernel_axes: the logical names of the axes of the kernel; none leaves them unnamed.
      dot_general: a function to use in place of `jax.lax.dot_general`.
      dot_general_cls: a class whose instance is used as `dot_general`.

    Example:
      >>> import jax
      >>> from ramie.linen.experimental.layers_with_named_axes import Dense
      >>> layer = Dense(4, kernel_axes=("embed", "mlp"))
      >>> variables = layer.init(jax.random.key(0), jax.numpy.ones((2, 3)))
      >>> variables["params_axes"]["bias_axes"]
      AxisMetadata(names=('mlp',))
    """

    features: int
    use_bias: bool = True
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros
    kernel_axes: tuple[str, ...] = ()
    dot_general: DotGeneralT | None = None
    dot_general_cls: Any = None

    @compact
    def __call__(self, inputs: Array) -> Array:
        """Apply the map.

        Args:
          inputs: ``[..., in]``.

        Returns:
          ``[..., features]``.

        Raises:
          ScopeParamShapeError: if ``in`` is not what the kernel was made for.
          ValueError: if the input is a scalar.
        """
        shape = np.shape(inputs)
        if not shape:
            raise ValueError(
                f"{place(self)} maps the last axis of its input, but got a scalar: {inputs!r}."
            )
        axes = tuple(self.kernel_axes)
        kernel = param_with_axes(
            "kernel",
            self.kernel_init,
            (shape[-1], self.features),
            self.param_dtype,
            axes=axes,
            module=self,
        )
        bias = None
        if self.use_bias:
            bias = param_with_axes(
                "bias",
                self.bias_init,
                (self.features,),
                self.param_dtype,
                axes=axes[-1:],
                module=self,
            )
            bias = jnp.asarray(bias, self.dtype)
        dot_general = self.dot_general
        if self.dot_general_cls is not None:
            dot_general = self.dot_general_cls()
        return linear.dense(
            jnp.asarray(inputs, self.dtype),
            jnp.asarray(kernel, self.dtype),
            bias,
            precision=self.precision,
            dot_general=dot_general,
        )


class Embed(Module):
    """A table of vectors, read by index.

    Parameter: ``embedding [num_embeddings, features]`` with the names ``vocab`` and ``embed``.

    Attributes:
      num_embeddings: the number of entries.
      features: the size of each.
      cast_input_dtype: a dtype to cast the indices to, for indices that arrive as floats.
      dtype: the dtype of the result.
      param_dtype: the dtype in which the table is initialised.
      attend_dtype: the dtype of the table in `attend`; by default `dtype`.
      embedding_init: initializer of the table.
      one_hot: whether to multiply with one-hot vectors instead of gathering, which suits tables
        that are split over devices.

    Example:
      >>> import jax
      >>> from ramie.linen.experimental.layers_with_named_axes import Embed
      >>> layer, tokens = Embed(num_embeddings=10, features=4), jax.numpy.array([[1, 2, 3]])
      >>> variables = layer.init(jax.random.key(0), tokens)
      >>> layer.apply(variables, tokens).shape
      (1, 3, 4)
    """

    num_embeddings: int
    features: int
    cast_input_dtype: Dtype | None = None
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    attend_dtype: Dtype | None = None
    embedding_init: Initializer = default_embed_init
    one_hot: bool = False

    def setup(self) -> None:
        """Define the table."""
        self.embedding = param_with_axes(
            "embedding",
            self.embedding_init,
            (self.num_embeddings, self.features),
            self.param_dtype,
            axes=("vocab", "embed"),
            module=self,
        )

    def __call__(self, inputs: Array) -> Array:
        """Look up entries.

        Args:
          inputs: integers ``[...]``. Beyond the table, the last entry is read; with `one_hot` the
            result is zero.

        Returns:
          ``[..., features]``.

        Raises:
          ValueError: if the indices are no integers.
        """
        indices = jnp.asarray(inputs, self.cast_input_dtype)
        if not jnp.issubdtype(indices.dtype, jnp.integer):
            raise ValueError(
                f"Input type must be an integer or unsigned integer: {place(self)} got indices of "
                f"dtype {indices.dtype}."
            )
        table = jnp.asarray(self.embedding, self.dtype)
        if self.one_hot:
            return jnp.dot(jax.nn.one_hot(indices, self.num_embeddings, dtype=self.dtype), table)
        return table[indices]

    def attend(self, query: Array) -> Array:
        """Multiply with the transposed table, as the logits of a language model are computed.

        Args:
          query: ``[..., features]``.

        Returns:
          ``[..., num_embeddings]``.
        """
        dtype = self.dtype if self.attend_dtype is None else self.attend_dtype
        return jnp.dot(query, jnp.asarray(self.embedding, dtype).T)


class LayerNorm(Module):
    """Normalise each example over its last axis.

    Parameters: ``scale`` and ``bias``, both with the name ``embed``.

    Attributes:
      epsilon: added to the variance.
      dtype: the dtype of the result.
      param_dtype: the dtype in which parameters are initialised.
      use_bias: whether to add a bias.
      use_scale: whether to multiply by a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.

    Differs from Flax: scale and bias work; making them fails there with release 0.12.8.
    """

    epsilon: float = 1e-6
    dtype: Any = jnp.float32
    param_dtype: Dtype = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Initializer = initializers.zeros
    scale_init: Initializer = initializers.ones

    @compact
    def __call__(self, x: Array) -> Array:
        """Normalise.

        Args:
          x: ``[..., features]``.

        Returns:
          An array of the same shape.
        """
        x = jnp.asarray(x)
        scale = bias = None
        if self.use_scale:
            scale = self._vector("scale", self.scale_init, x.shape[-1])
        if self.use_bias:
            bias = self._vector("bias", self.bias_init, x.shape[-1])
        return norm.layer_norm(x, scale, bias, epsilon=self.epsilon, dtype=self.dtype)

    def _vector(self, name: str, init: Initializer, size: int) -> Array:
        vector: Array = param_with_axes(
            name, init, (size,), self.param_dtype, axes=("embed",), module=self
        )
        return vector
