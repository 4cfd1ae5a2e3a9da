"""Convolution layers: Conv and ConvTranspose."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

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
from ramie.nnx.modules.places import note_place, place
from ramie.nnx.randomness.rng import Rngs
from ramie.ops import conv
from ramie.ops.linear import as_tuple
from ramie.typing import (
    Array,
    ConvGeneralDilatedT,
    Dtype,
    Initializer,
    PaddingLike,
    PrecisionLike,
    PromoteDtypeFn,
)

__all__ = ["Conv", "ConvTranspose"]


def _masked(layer: Any, kernel: Array) -> Array:
    mask = layer.mask
    if mask is not None and np.shape(mask) != np.shape(kernel):
        raise ValueError(
            "Mask needs to have the same shape as weights. Shapes are: "
            f"{np.shape(mask)}, {np.shape(kernel)} in {place(layer)}."
        )
    return conv.masked_kernel(kernel, mask)


def _check_input(layer: Any, inputs: Array) -> None:
    window: tuple[int, ...] = layer.kernel_size
    shape = np.shape(inputs)
    fits = len(shape) > len(window) and shape[-1] == layer.in_features
    # A kernel of another width that was put there decides itself what fits.
    if not fits and np.shape(raw(layer.kernel)) == tuple(layer.kernel_shape):
        raise ValueError(
            f"{place(layer)} takes an input [*batch, *spatial, {layer.in_features}] with "
            f"{len(window)} spatial axes, as its window is {window}, but got one of shape {shape}."
        )


class Conv(Module):
    """A convolution with the same weights at every position.

    Parameters: ``kernel [*window, in_features // groups, out_features]`` and
    ``bias [out_features]``.

    Args:
      in_features: the number of channels of the input.
      out_features: the number of filters.
      kernel_size: the window: a size per spatial axis, or one integer for a single spatial axis.
      strides: steps between windows; one for all axes or one per axis, None for 1.
      padding: "SAME", "VALID", "CIRCULAR" (periodic), "REFLECT" (mirrored), "CAUSAL" (one spatial
        axis, nothing from later positions), a width, or per axis a width or (low, high) pair.
      input_dilation: distances between the elements of the input.
      kernel_dilation: distances between the elements of the window.
      feature_group_count: into how many groups the channels are split. On a mesh of several axes
        train such a layer inside `jax.set_mesh`: elsewhere XLA computes wrong gradients for it.
      use_bias: whether to add a bias; else `bias` is None.
      mask: multiplied with the kernel; of the same shape.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      precision: of the products; see `jax.lax.Precision`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      conv_general_dilated: a function to use in place of `jax.lax.conv_general_dilated`.
      promote_dtype: brings input, kernel and bias to one dtype.
      preferred_element_type: the dtype to accumulate in and to return.
      rngs: the keys for the parameters.
      kernel_metadata: metadata of the kernel.
      bias_metadata: metadata of the bias.

    Raises:
      ValueError: if the channels cannot be split into the groups.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> layer = nnx.Conv(3, 4, kernel_size=(3, 3), rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((2, 8, 8, 3))).shape, layer.kernel.shape
        ((2, 8, 8, 4), (3, 3, 3, 4))
    """

    in_features: int
    out_features: int
    strides: int | Sequence[int] | None
    padding: PaddingLike
    input_dilation: int | Sequence[int] | None
    kernel_dilation: int | Sequence[int] | None
    feature_group_count: int
    use_bias: bool
    mask: Array | None
    dtype: Dtype | None
    param_dtype: Dtype
    precision: PrecisionLike
    conv_general_dilated: ConvGeneralDilatedT
    promote_dtype: PromoteDtypeFn
    preferred_element_type: Dtype | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] | None = 1,
        *,
        padding: PaddingLike = "SAME",
        input_dilation: int | Sequence[int] | None = 1,
        kernel_dilation: int | Sequence[int] | None = 1,
        feature_group_count: int = 1,
        use_bias: bool = True,
        mask: Array | None = None,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        precision: PrecisionLike = None,
        kernel_init: Initializer = default_kernel_init,
        bias_init: Initializer = default_bias_init,
        conv_general_dilated: ConvGeneralDilatedT = lax.conv_general_dilated,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        preferred_element_type: Dtype | None = None,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        window = as_tuple(kernel_size)
        if in_features % feature_group_count:
            raise ValueError(
                f"The {in_features} channels of the input of Conv cannot be split into "
                f"feature_group_count={feature_group_count} equal groups."
            )
        self.kernel_shape = (*window, in_features // feature_group_count, out_features)
        self.kernel = new_param(rngs, kernel_init, self.kernel_shape, param_dtype, kernel_metadata)
        size = (out_features,)
        self.bias = optional_param(use_bias, rngs, bias_init, size, param_dtype, bias_metadata)
        keep(
            self,
            in_features=in_features,
            out_features=out_features,
            kernel_size=window,
            strides=strides,
            padding=padding,
            input_dilation=input_dilation,
            kernel_dilation=kernel_dilation,
            feature_group_count=feature_group_count,
            use_bias=use_bias,
            mask=mask,
            dtype=dtype,
            param_dtype=param_dtype,
            precision=precision,
            conv_general_dilated=conv_general_dilated,
            promote_dtype=promote_dtype,
            preferred_element_type=preferred_element_type,
        )

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        """Convolve.

        Args:
          inputs: ``[*batch, *spatial, in_features]`` with any number of batch axes, also none.
          out_sharding: how the result is laid out over devices.

        Returns:
          ``[*batch, *spatial, out_features]``.

        Raises:
          ValueError: if input or mask do not fit the window.
        """
        _check_input(self, inputs)
        kernel = _masked(self, raw(self.kernel))
        x, kernel, bias = self.promote_dtype((inputs, kernel, raw(self.bias)), dtype=self.dtype)
        try:
            return conv.conv(
                x,
                kernel,
                bias,
                strides=self.strides,
                padding=self.padding,
                input_dilation=self.input_dilation,
                kernel_dilation=self.kernel_dilation,
                feature_group_count=self.feature_group_count,
                precision=self.precision,
                conv_general_dilated=configured(
                    self.conv_general_dilated, self.preferred_element_type
                ),
                out_sharding=out_sharding,
            )
        except Exception as error:  # of JAX, such as one about out_sharding
            note_place(error, self)
            raise


class ConvTranspose(Module):
    """A transposed convolution: what moves elements apart by the strides instead of together.

    Parameters: ``kernel [*window, in_features, out_features]`` (the last two swapped with
    `transpose_kernel`) and ``bias [out_features]``.

    Args:
      in_features: the number of channels of the input.
      out_features: the number of filters.
      kernel_size: the window: a size per spatial axis, or one integer for a single spatial axis.
      strides: how far elements of the input are moved apart, per axis; None for 1.
      padding: "SAME", "VALID", "CIRCULAR" (periodic), a width, or per axis a width or
        (low, high) pair.
      kernel_dilation: distances between the elements of the window.
      use_bias: whether to add a bias; else `bias` is None.
      mask: multiplied with the kernel; of the same shape.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      precision: of the products; see `jax.lax.Precision`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      transpose_kernel: flip the window and swap its channels, so that the layer is the gradient
        of a convolution with that kernel.
      promote_dtype: brings input, kernel and bias to one dtype.
      preferred_element_type: the dtype to accumulate in and to return.
      rngs: the keys for the parameters.
      kernel_metadata: metadata of the kernel.
      bias_metadata: metadata of the bias.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> layer = nnx.ConvTranspose(3, 4, (3, 3), strides=(2, 2), rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((1, 8, 8, 3))).shape
        (1, 16, 16, 4)
    """

    in_features: int
    out_features: int
    strides: int | Sequence[int] | None
    padding: PaddingLike
    kernel_dilation: int | Sequence[int] | None
    use_bias: bool
    mask: Array | None
    dtype: Dtype | None
    param_dtype: Dtype
    precision: PrecisionLike
    transpose_kernel: bool
    promote_dtype: PromoteDtypeFn
    preferred_element_type: Dtype | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] | None = None,
        *,
        padding: PaddingLike = "SAME",
        kernel_dilation: int | Sequence[int] | None = None,
        use_bias: bool = True,
        mask: Array | None = None,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        precision: PrecisionLike = None,
        kernel_init: Initializer = default_kernel_init,
        bias_init: Initializer = default_bias_init,
        transpose_kernel: bool = False,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        preferred_element_type: Dtype | None = None,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        self.kernel_size = as_tuple(kernel_size)
        keep(
            self,
            in_features=in_features,
            out_features=out_features,
            strides=strides,
            padding=padding,
            kernel_dilation=kernel_dilation,
            use_bias=use_bias,
            mask=mask,
            dtype=dtype,
            param_dtype=param_dtype,
            precision=precision,
            transpose_kernel=transpose_kernel,
            promote_dtype=promote_dtype,
            preferred_element_type=preferred_element_type,
        )
        ends = (in_features, out_features)
        self.kernel_shape = (*self.kernel_size, *(reversed(ends) if transpose_kernel else ends))
        self.kernel = new_param(rngs, kernel_init, self.kernel_shape, param_dtype, kernel_metadata)
        size = (out_features,)
        self.bias = optional_param(use_bias, rngs, bias_init, size, param_dtype, bias_metadata)

    def __call__(self, inputs: Array) -> Array:
        """Convolve.

        Args:
          inputs: ``[*batch, *spatial, in_features]`` with any number of batch axes, also none.

        Returns:
          ``[*batch, *spatial, out_features]``.

        Raises:
          ValueError: if input or mask do not fit the window.
        """
        _check_input(self, inputs)
        kernel = _masked(self, raw(self.kernel))
        x, kernel, bias = self.promote_dtype((inputs, kernel, raw(self.bias)), dtype=self.dtype)
        try:
            return conv.conv_transpose(
                x,
                kernel,
                bias,
                strides=self.strides,
                padding=self.padding,
                kernel_dilation=self.kernel_dilation,
                transpose_kernel=self.transpose_kernel,
                precision=self.precision,
                preferred_element_type=self.preferred_element_type,
            )
        except Exception as error:  # of JAX, such as one about out_sharding
            note_place(error, self)
            raise
