"""Linear layers: Dense, DenseGeneral, Einsum and Embed."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ramie.linen.module import Module, compact, merge_param
from ramie.ops import initializers, linear
from ramie.ops.dtypes import PromoteDtypeFn as PromoteDtypeFn
from ramie.ops.dtypes import promote_dtype
from ramie.typing import Array, DotGeneralT, Dtype, Initializer, PrecisionLike

__all__ = [
    "Dense",
    "DenseGeneral",
    "Einsum",
    "Embed",
    "PromoteDtypeFn",
    "default_embed_init",
    "default_kernel_init",
]

default_kernel_init = initializers.lecun_normal()
default_embed_init = initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)


def place(module: Module) -> str:
    """Return the kind of a module and its path, for messages."""
    scope = module.scope
    path = "/".join(scope.path) if scope is not None else ""
    return f"{type(module).__name__} at /{path}"


def refuse_class(module: Module, given: Any, name: str) -> None:
    """Refuse a class in a field that is to hold a layer.

    Args:
      module: whose field it is.
      given: what the field holds.
      name: its name.

    Raises:
      TypeError: if it is a class.
    """
    if isinstance(given, type):
        raise TypeError(
            f"nn.{type(module).__name__} takes a layer as {name}, not the class {given.__name__}. "
            f"Make one: {given.__name__}(...)."
        )


def _chosen(cls: Any, function: DotGeneralT | None) -> DotGeneralT | None:
    """Return the product to use: an instance of a class, a function, or None for the usual one."""
    return cls() if cls is not None else function


class Dense(Module):
    """A linear map of the last axis: ``x @ kernel + bias``.

    Parameters: ``kernel [in, features]`` and ``bias [features]``.

    Attributes:
      features: the size of the last axis of the result.
      use_bias: whether to add a bias.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      precision: of the product; see `jax.lax.Precision`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      promote_dtype: brings input, kernel and bias to one dtype.
      dot_general: a function to use in place of `jax.lax.dot_general`.
      dot_general_cls: a class whose instance is used as `dot_general`; a Module class may have
        variables of its own.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.Dense(features=4)
      >>> x = jax.numpy.ones((1, 3))
      >>> jax.tree.map(lambda p: p.shape, layer.init(jax.random.key(0), x))
      {'params': {'bias': (4,), 'kernel': (3, 4)}}
    """

    features: int
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros
    promote_dtype: PromoteDtypeFn = promote_dtype
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
        features, param_dtype = self.features, self.param_dtype
        kernel = self.param("kernel", self.kernel_init, (shape[-1], features), param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (features,), param_dtype)
        x, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        dot_general = _chosen(self.dot_general_cls, self.dot_general)
        return linear.dense(x, kernel, bias, precision=self.precision, dot_general=dot_general)


class DenseGeneral(Module):
    """A linear map of one or several axes to one or several.

    Parameters: ``kernel [batch..., in..., features...]`` and ``bias [batch..., features...]``. They
    are drawn as the matrix (or vector) that they multiply as, so initializers see fan-in and
    fan-out of all axes together.

    Attributes:
      features: size or sizes of the axes of the result that replace `axis`; they come last.
      axis: the axis or axes of the input to contract.
      batch_dims: the first axes of the input, if each index there has weights of its own.
      use_bias: whether to add a bias.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      precision: of the product; see `jax.lax.Precision`.
      promote_dtype: brings input, kernel and bias to one dtype.
      dot_general: a function to use in place of `jax.lax.dot_general`.
      dot_general_cls: a class whose instance is used as `dot_general`.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.DenseGeneral(features=(4, 5), axis=(1, -1))
      >>> x = jax.numpy.ones((2, 3, 6, 7))
      >>> variables = layer.init(jax.random.key(0), x)
      >>> variables["params"]["kernel"].shape, layer.apply(variables, x).shape
      ((3, 7, 4, 5), (2, 6, 4, 5))
    """

    features: int | Sequence[int]
    axis: int | Sequence[int] = -1
    batch_dims: Sequence[int] = ()
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros
    precision: PrecisionLike = None
    promote_dtype: PromoteDtypeFn = promote_dtype
    dot_general: DotGeneralT | None = None
    dot_general_cls: Any = None

    @compact
    def __call__(self, inputs: Array) -> Array:
        """Apply the map.

        Args:
          inputs: ``[batch..., ...]``.

        Returns:
          ``[batch..., kept..., features...]``.

        Raises:
          ScopeParamShapeError: if the contracted axes are not what the kernel was made for.
          ValueError: if `axis` or `batch_dims` do not fit the input.
        """
        shape = np.shape(inputs)
        features = linear.as_tuple(self.features)
        axis = linear.as_tuple(self.axis)
        batch_dims = linear.as_tuple(self.batch_dims)
        ndim, batched = len(shape), len(batch_dims)
        if batch_dims and sorted(batch_dims) != list(range(batched)):
            raise ValueError(
                f"{place(self)}: batch_dims {batch_dims} must be consecutive leading dimensions "
                "starting from 0."
            )
        if any(not -ndim <= a < ndim for a in axis):
            raise ValueError(
                f"{place(self)}: axis={self.axis} names an axis that the input of shape {shape} "
                "does not have."
            )
        axis = linear.normalize_axes(axis, ndim)
        batch_shape = shape[:batched]
        # A kernel is drawn as a matrix: batch and inputs together, outputs together.
        kernel = self.param(
            "kernel",
            initializers.ReshapedInitializer(self.kernel_init, (batched + len(axis),)),
            (*batch_shape, *(shape[a] for a in axis), *features),
            self.param_dtype,
        )
        bias = None
        if self.use_bias:
            bias = self.param(
                "bias",
                initializers.ReshapedInitializer(self.bias_init, ()),
                (*batch_shape, *features),
                self.param_dtype,
            )
        x, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        return linear.dense_general(
            x,
            kernel,
            bias,
            axis=axis,
            batch_dims=tuple(sorted(batch_dims)),
            precision=self.precision,
            dot_general=_chosen(self.dot_general_cls, self.dot_general),
        )


class Einsum(Module):
    """An einsum of the input with a kernel, and a bias along the axes that come from the kernel.

    Parameters: ``kernel [*shape]`` and ``bias``.

    Attributes:
      shape: the shape of the kernel.
      einsum_str: an explicit equation of two terms, the input first, such as "...a,ab->...b". It
        can be given to the call instead.
      use_bias: whether to add a bias.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      precision: of the product; see `jax.lax.Precision`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      promote_dtype: brings input, kernel and bias to one dtype.
      preferred_element_type: the dtype to accumulate in and to return.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.Einsum((5, 6, 7), "abc,cde->abde")
      >>> y, variables = layer.init_with_output(jax.random.key(0), jax.numpy.ones((3, 4, 5)))
      >>> y.shape, variables["params"]["bias"].shape
      ((3, 4, 6, 7), (6, 7))
    """

    shape: Sequence[int]
    einsum_str: str | None = None
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros
    promote_dtype: PromoteDtypeFn = promote_dtype
    preferred_element_type: Dtype | None = None

    @compact
    def __call__(self, inputs: Array, einsum_str: str | None = None) -> Array:
        """Evaluate the einsum.

        Args:
          inputs: the first operand.
          einsum_str: the equation, if the layer was made without one.

        Raises:
          ValueError: if the equation is missing or given twice, is not explicit, has not two
            terms, or does not fit the shapes.
        """
        equation = merge_param("einsum_str", self.einsum_str, einsum_str).replace(" ", "")
        if "->" not in equation:
            raise ValueError(
                '`einsum_str` equation must be explicit and include "->". '
                f"{place(self)} got {equation!r}."
            )
        commas = equation.count(",")
        if commas != 1:
            raise ValueError(
                "`einsum_str` equation must have exactly two operands and therefore, exactly one "
                f"comma character, instead of {commas}: {place(self)} got {equation!r}."
            )
        kernel_shape = linear.as_tuple(self.shape)
        kernel = self.param("kernel", self.kernel_init, kernel_shape, self.param_dtype)
        bias = None
        if self.use_bias:
            plan = linear.einsum_plan(equation, np.shape(inputs), kernel_shape)
            bias = self.param("bias", self.bias_init, plan.bias_shape, self.param_dtype)
        x, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        return linear.einsum(
            x,
            kernel,
            bias,
            equation=equation,
            precision=self.precision,
            preferred_element_type=self.preferred_element_type,
        )


class Embed(Module):
    """A table of vectors, read by index.

    Parameter: ``embedding [num_embeddings, features]``, also an attribute of the bound layer.

    Attributes:
      num_embeddings: the number of entries.
      features: the size of each.
      dtype: the dtype of the result; by default that of the table.
      param_dtype: the dtype in which the table is initialised.
      embedding_init: initializer of the table.
      promote_dtype: brings arrays to one dtype.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.Embed(num_embeddings=10, features=4)
      >>> tokens = jax.numpy.array([[1, 2, 3]])
      >>> variables = layer.init(jax.random.key(0), tokens)
      >>> layer.apply(variables, tokens).shape
      (1, 3, 4)
    """

    num_embeddings: int
    features: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    embedding_init: Initializer = default_embed_init
    promote_dtype: PromoteDtypeFn = promote_dtype

    def setup(self) -> None:
        """Define the table."""
        self.embedding = self.param(
            "embedding",
            self.embedding_init,
            (self.num_embeddings, self.features),
            self.param_dtype,
        )

    def __call__(self, inputs: Array) -> Array:
        """Look up entries.

        Args:
          inputs: integers ``[...]``. Negative ones count from the end; one beyond the table gives
            NaN.

        Returns:
          ``[..., features]``.

        Raises:
          ValueError: if the indices are no integers.
        """
        indices = inputs if hasattr(inputs, "dtype") else jnp.asarray(inputs)
        if not jnp.issubdtype(indices.dtype, jnp.integer):
            raise ValueError(
                f"Input type must be an integer or unsigned integer: {place(self)} got indices of "
                f"dtype {indices.dtype}."
            )
        (embedding,) = self.promote_dtype(self.embedding, dtype=self.dtype, inexact=False)
        return linear.embed_lookup(embedding, indices)

    def attend(self, query: Array) -> Array:
        """Multiply with the transposed table, as the logits of a language model are computed.

        Args:
          query: ``[..., features]``.

        Returns:
          ``[..., num_embeddings]``.
        """
        query, embedding = self.promote_dtype(query, self.embedding, dtype=self.dtype)
        return linear.embed_attend(query, embedding)
