"""Linear layers: Linear, LinearGeneral, Einsum and Embed."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie import errors
from ramie.nnx.layers.dtypes import promote_dtype
from ramie.nnx.layers.parameters import (
    NO_METADATA,
    configured,
    default_bias_init,
    default_kernel_init,
    keep,
    new_param,
    optional_param,
    raw,
)
from ramie.nnx.modules.module import Module
from ramie.nnx.modules.places import inputs_of, note_place, place, shape_text
from ramie.nnx.randomness.rng import Rngs
from ramie.ops import initializers, linear
from ramie.ops.eager.replaced import current
from ramie.trees.frozen import FrozenDict
from ramie.typing import (
    Array,
    DotGeneralT,
    Dtype,
    Initializer,
    PrecisionLike,
    PromoteDtypeFn,
    Shape,
)

__all__ = ["Einsum", "Embed", "Linear", "LinearGeneral", "default_embed_init"]

default_embed_init: Initializer = initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)


def _product(given: DotGeneralT | None, preferred: Dtype | None) -> Any:
    return configured(lax.dot_general if given is None else given, preferred)


class Linear(Module):
    """A linear map of the last axis: ``x @ kernel + bias``.

    Parameters: ``kernel [in_features, out_features]`` and ``bias [out_features]``.

    Args:
      in_features: the size of the last axis of the input.
      out_features: the size of the last axis of the result.
      use_bias: whether to add a bias; else `bias` is None.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      precision: of the product; see `jax.lax.Precision`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      dot_general: a function to use in place of `jax.lax.dot_general`.
      promote_dtype: brings input, kernel and bias to one dtype.
      preferred_element_type: the dtype to accumulate in and to return.
      rngs: the keys for the parameters.
      kernel_metadata: metadata of the kernel.
      bias_metadata: metadata of the bias.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> layer = nnx.Linear(3, 4, rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((2, 3))).shape, layer.kernel.shape
        ((2, 4), (3, 4))
    """

    in_features: int
    out_features: int
    use_bias: bool
    dtype: Dtype | None
    param_dtype: Dtype
    precision: PrecisionLike
    dot_general: DotGeneralT | None
    promote_dtype: PromoteDtypeFn
    preferred_element_type: Dtype | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        use_bias: bool = True,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        precision: PrecisionLike = None,
        kernel_init: Initializer = default_kernel_init,
        bias_init: Initializer = default_bias_init,
        dot_general: DotGeneralT = lax.dot_general,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        preferred_element_type: Dtype | None = None,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        shape = (in_features, out_features)
        self.kernel = new_param(rngs, kernel_init, shape, param_dtype, kernel_metadata)
        size = (out_features,)
        self.bias = optional_param(use_bias, rngs, bias_init, size, param_dtype, bias_metadata)
        keep(
            self,
            in_features=in_features,
            out_features=out_features,
            use_bias=use_bias,
            dtype=dtype,
            param_dtype=param_dtype,
            precision=precision,
            dot_general=dot_general,
            promote_dtype=promote_dtype,
            preferred_element_type=preferred_element_type,
        )

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        """Apply the map.

        Args:
          inputs: ``[..., in_features]``.
          out_sharding: how the result is laid out over devices.

        Returns:
          ``[..., out_features]``.
        """
        x, kernel, bias = self.promote_dtype(
            (inputs, raw(self.kernel), raw(self.bias)), dtype=self.dtype
        )
        try:
            return linear.dense(
                x,
                kernel,
                bias,
                precision=self.precision,
                dot_general=_product(self.dot_general, self.preferred_element_type),
                out_sharding=out_sharding,
            )
        except Exception as error:
            inputs_of(self, x, {-1: np.shape(kernel)[0]}, "in_features", error)
            raise


class LinearGeneral(Module):
    """A linear map of one or several axes to one or several.

    Parameters: ``kernel [batch..., in..., out...]`` and ``bias [batch..., out...]``. They are
    drawn as the matrix (or vector) that they multiply as, so initializers see fan-in and fan-out
    of all axes together.

    Args:
      in_features: size or sizes of the axes of the input to contract.
      out_features: size or sizes of the axes of the result that replace them; they come last.
      axis: the axis or axes of the input to contract.
      batch_axis: the first axes of the input with their sizes, if each index there has weights of
        its own.
      use_bias: whether to add a bias; else `bias` is None.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      precision: of the product; see `jax.lax.Precision`.
      promote_dtype: brings input, kernel and bias to one dtype.
      dot_general: a function to use in place of `jax.lax.dot_general`.
      dot_general_cls: a class whose instance is used so.
      preferred_element_type: the dtype to accumulate in and to return.
      rngs: the keys for the parameters.
      kernel_metadata: metadata of the kernel.
      bias_metadata: metadata of the bias.

    Raises:
      ValueError: if `batch_axis` does not name the first axes, or `axis` has another number of
        entries than `in_features`.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> layer = nnx.LinearGeneral((3, 7), (4, 5), axis=(1, -1), rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((2, 3, 6, 7))).shape
        (2, 6, 4, 5)
    """

    use_bias: bool
    dtype: Dtype | None
    param_dtype: Dtype
    precision: PrecisionLike
    dot_general: DotGeneralT | None
    dot_general_cls: Any
    promote_dtype: PromoteDtypeFn
    preferred_element_type: Dtype | None

    def __init__(
        self,
        in_features: int | Sequence[int],
        out_features: int | Sequence[int],
        *,
        axis: int | Sequence[int] = -1,
        batch_axis: Mapping[int, int] = FrozenDict({}),
        use_bias: bool = True,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        kernel_init: Initializer = default_kernel_init,
        bias_init: Initializer = default_bias_init,
        precision: PrecisionLike = None,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        dot_general: DotGeneralT | None = None,
        dot_general_cls: Any = None,
        preferred_element_type: Dtype | None = None,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        self.in_features = linear.as_tuple(in_features)
        self.out_features = linear.as_tuple(out_features)
        self.axis = linear.as_tuple(axis)
        self.batch_axis: FrozenDict[int, int] = FrozenDict(batch_axis)
        batched = len(self.batch_axis)
        if sorted(self.batch_axis) != list(range(batched)):
            raise ValueError(
                f"batch_dims {tuple(self.batch_axis)} of LinearGeneral must be consecutive leading "
                "dimensions starting from 0."
            )
        if len(self.axis) != len(self.in_features):
            raise ValueError(
                f"LinearGeneral contracts the axes {self.axis}, but in_features="
                f"{self.in_features} has sizes for {len(self.in_features)}."
            )
        keep(
            self,
            use_bias=use_bias,
            dtype=dtype,
            param_dtype=param_dtype,
            precision=precision,
            dot_general=dot_general,
            dot_general_cls=dot_general_cls,
            promote_dtype=promote_dtype,
            preferred_element_type=preferred_element_type,
        )
        batch_shape = tuple(self.batch_axis[a] for a in range(batched))
        # A kernel is drawn as a matrix: batch and inputs together, outputs together.
        self.kernel = new_param(
            rngs,
            initializers.ReshapedInitializer(kernel_init, (batched + len(self.axis),)),
            (*batch_shape, *self.in_features, *self.out_features),
            param_dtype,
            kernel_metadata,
        )
        self.bias = optional_param(
            use_bias,
            rngs,
            initializers.ReshapedInitializer(bias_init, ()),
            (*batch_shape, *self.out_features),
            param_dtype,
            bias_metadata,
        )

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        """Apply the map.

        Args:
          inputs: ``[batch..., ...]``.
          out_sharding: how the result is laid out over devices.

        Returns:
          ``[batch..., kept..., out...]``.

        Raises:
          ValueError: if the input does not have one of the axes.
        """
        ndim = len(np.shape(inputs))
        x, kernel, bias = self.promote_dtype(
            (inputs, raw(self.kernel), raw(self.bias)), dtype=self.dtype
        )
        chosen = self.dot_general_cls() if self.dot_general_cls else self.dot_general
        try:
            return linear.dense_general(
                x,
                kernel,
                bias,
                axis=linear.normalize_axes(self.axis, ndim),
                batch_dims=tuple(sorted(self.batch_axis)),
                precision=self.precision,
                dot_general=_product(chosen, self.preferred_element_type),
                out_sharding=out_sharding,
            )
        except Exception as error:
            sizes = {**self.batch_axis, **dict(zip(self.axis, self.in_features, strict=True))}
            inputs_of(self, x, sizes, "in_features and axis", error)
            raise


class Einsum(Module):
    """An einsum of the input with a kernel, and a bias along axes that come from the kernel.

    Parameters: ``kernel [*kernel_shape]`` and ``bias [*bias_shape]``.

    Args:
      einsum_str: an explicit equation of two terms, the input first, such as "...a,ab->...b".
      kernel_shape: the shape of the kernel.
      bias_shape: the shape of the bias; None for no bias.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      precision: of the product; see `jax.lax.Precision`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      promote_dtype: brings input, kernel and bias to one dtype.
      einsum_op: a function to use in place of `jax.numpy.einsum`.
      preferred_element_type: the dtype to accumulate in and to return.
      rngs: the keys for the parameters.
      kernel_metadata: metadata of the kernel.
      bias_metadata: metadata of the bias.

    Raises:
      ValueError: if the equation is not explicit or has not two terms.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> layer = nnx.Einsum("nta,hab->nthb", (8, 2, 4), (8, 4), rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((16, 11, 2))).shape
        (16, 11, 8, 4)
    """

    einsum_str: str
    kernel_shape: Shape
    bias_shape: Shape | None
    dtype: Dtype | None
    param_dtype: Dtype
    precision: PrecisionLike
    promote_dtype: PromoteDtypeFn
    einsum_op: Any
    preferred_element_type: Dtype | None

    def __init__(
        self,
        einsum_str: str,
        kernel_shape: Shape,
        bias_shape: Shape | None = None,
        *,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        precision: PrecisionLike = None,
        kernel_init: Initializer = default_kernel_init,
        bias_init: Initializer = default_bias_init,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        einsum_op: Any = jnp.einsum,
        preferred_element_type: Dtype | None = None,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        einsum_str = _equation(einsum_str)
        self.kernel = new_param(rngs, kernel_init, kernel_shape, param_dtype, kernel_metadata)
        self.bias = optional_param(
            bias_shape is not None, rngs, bias_init, bias_shape or (), param_dtype, bias_metadata
        )
        keep(
            self,
            einsum_str=einsum_str,
            kernel_shape=kernel_shape,
            bias_shape=bias_shape,
            dtype=dtype,
            param_dtype=param_dtype,
            precision=precision,
            promote_dtype=promote_dtype,
            einsum_op=einsum_op,
            preferred_element_type=preferred_element_type,
        )

    def __call__(
        self, inputs: Array, einsum_str: str | None = None, out_sharding: Any = None
    ) -> Array:
        """Evaluate the einsum.

        Args:
          inputs: the first operand.
          einsum_str: an equation to use in place of that of the layer.
          out_sharding: how the product is laid out over devices.

        Raises:
          ValueError: if the equation is not explicit, has not two terms, or does not fit.
        """
        equation = _equation(self.einsum_str if einsum_str is None else einsum_str)
        x, kernel, bias = self.promote_dtype(
            (inputs, raw(self.kernel), raw(self.bias)), dtype=self.dtype
        )
        try:
            return self._evaluate(equation, x, kernel, bias, out_sharding)
        except Exception as error:
            if linear.einsum_fits(
                equation, x, kernel
            ):  # it is about something else, such as out_sharding
                note_place(error, self)
                raise
            raise errors.InputShapeError(
                place(self),
                f"the sizes of {equation!r} and a kernel of shape {np.shape(kernel)}",
                shape_text(x),
                "kernel_shape",
                str(error),
            ) from error

    def _evaluate(
        self, equation: str, x: Array, kernel: Array, bias: Array | None, out_sharding: Any
    ) -> Array:
        einsum = current(self.einsum_op)  # the default was looked up when the class was made
        return linear.einsum(
            x,
            kernel,
            bias,
            equation=equation,
            precision=self.precision,
            preferred_element_type=self.preferred_element_type,
            einsum_op=None if einsum is jnp.einsum else einsum,
            out_sharding=out_sharding,
        )


def _equation(text: str) -> str:
    equation = text.replace(" ", "")
    if "->" not in equation:
        raise ValueError(
            f'`einsum_str` equation must be explicit and include "->". Einsum got {text!r}.'
        )
    commas = equation.count(",")
    if commas != 1:
        raise ValueError(
            "`einsum_str` equation must have exactly two operands and therefore, exactly one "
            f"comma character, instead of {commas}: Einsum got {text!r}."
        )
    return equation


class Embed(Module):
    """A table of vectors, read by index.

    Parameter: ``embedding [num_embeddings, features]``.

    Args:
      num_embeddings: the number of entries.
      features: the size of each.
      dtype: the dtype of the result; by default that of the table.
      param_dtype: the dtype in which the table is initialised.
      embedding_init: initializer of the table.
      promote_dtype: brings arrays to one dtype.
      rngs: the key for the table.
      embedding_metadata: metadata of the table.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> layer = nnx.Embed(10, 4, rngs=nnx.Rngs(0))
        >>> layer(jnp.array([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    num_embeddings: int
    features: int
    dtype: Dtype | None
    param_dtype: Dtype
    promote_dtype: PromoteDtypeFn

    def __init__(
        self,
        num_embeddings: int,
        features: int,
        *,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        embedding_init: Initializer = default_embed_init,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        rngs: Rngs,
        embedding_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        shape = (num_embeddings, features)
        self.embedding = new_param(rngs, embedding_init, shape, param_dtype, embedding_metadata)
        keep(
            self,
            num_embeddings=num_embeddings,
            features=features,
            dtype=dtype,
            param_dtype=param_dtype,
            promote_dtype=promote_dtype,
        )

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        """Look up entries.

        Args:
          inputs: integers ``[...]``. Negative ones count from the end; one beyond the table gives
            NaN.
          out_sharding: how the result is laid out over devices.

        Returns:
          ``[..., features]``.

        Raises:
          ValueError: if the indices are no integers.
        """
        try:
            indices = linear.indices(inputs)
            table = (raw(self.embedding),)
            (embedding,) = self.promote_dtype(table, dtype=self.dtype, inexact=False)
            return linear.embed_lookup(embedding, indices, out_sharding=out_sharding)
        except Exception as error:
            note_place(error, self)
            raise

    def attend(self, query: Array, out_sharding: Any = None) -> Array:
        """Multiply with the transposed table, as the logits of a language model are computed.

        Args:
          query: ``[..., features]``.
          out_sharding: how the result is laid out over devices.

        Returns:
          ``[..., num_embeddings]``.
        """
        query, embedding = self.promote_dtype((query, raw(self.embedding)), dtype=self.dtype)
        try:
            return linear.embed_attend(query, embedding, out_sharding=out_sharding)
        except Exception as error:
            inputs_of(self, query, {-1: np.shape(embedding)[1]}, "features", error)
            raise
