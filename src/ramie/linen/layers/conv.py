"""Convolution layers: Conv, ConvLocal and ConvTranspose."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ramie.linen.layers.linear import PromoteDtypeFn, default_kernel_init, place
from ramie.linen.module import Module, compact, nowrap
from ramie.ops import conv, initializers
from ramie.ops.dtypes import promote_dtype
from ramie.ops.linear import as_tuple
from ramie.typing import (
    Array,
    ConvGeneralDilatedT,
    Dtype,
    Initializer,
    PaddingLike,
    PrecisionLike,
)

__all__ = ["Conv", "ConvLocal", "ConvTranspose"]


def _window(module: Any, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the size of the window, after checking that the input has the axes for it."""
    window = as_tuple(module.kernel_size)
    if len(input_shape) <= len(window):
        raise ValueError(
            f"{place(module)}: a window {window} needs {len(window)} spatial axes and one of "
            f"channels, but the input has shape {input_shape}."
        )
    return window


def _masked(module: Any, kernel: Array) -> Array:
    mask = module.mask
    if mask is not None and np.shape(mask) != np.shape(kernel):
        raise ValueError(
            "Mask needs to have the same shape as weights. Shapes are: "
            f"{np.shape(mask)}, {np.shape(kernel)} in {place(module)}."
        )
    return conv.masked_kernel(kernel, mask)


class _Convolution(Module):
    """What `Conv` and `ConvLocal` have in common."""

    features: int
    kernel_size: int | Sequence[int]
    strides: int | Sequence[int] | None = 1
    padding: PaddingLike = "SAME"
    input_dilation: int | Sequence[int] | None = 1
    kernel_dilation: int | Sequence[int] | None = 1
    feature_group_count: int = 1
    use_bias: bool = True
    mask: Array | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros
    promote_dtype: PromoteDtypeFn = promote_dtype
    conv_general_dilated: ConvGeneralDilatedT | None = None
    conv_general_dilated_cls: Any = None

    @property
    def shared_weights(self) -> bool:
        """Whether all positions of the result use the same weights."""
        raise NotImplementedError

    @nowrap
    def _window_settings(self) -> dict[str, Any]:
        return {
            "strides": self.strides,
            "padding": self.padding,
            "input_dilation": self.input_dilation,
            "kernel_dilation": self.kernel_dilation,
        }

    @nowrap
    def _shapes(
        self, window: tuple[int, ...], input_shape: tuple[int, ...]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shapes of kernel and bias."""
        channels, groups = input_shape[-1], self.feature_group_count
        if self.shared_weights:
            if channels % groups:
                raise ValueError(
                    f"{place(self)}: the {channels} channels of the input cannot be split into "
                    f"feature_group_count={groups} equal groups."
                )
            return (*window, channels // groups, self.features), (self.features,)
        if groups != 1:
            raise NotImplementedError(
                "`lax.conv_general_dilated_local` does not support `feature_group_count != 1`, got "
                f"`{groups}`: in {place(self)} weights are not shared."
            )
        positions = conv.local_output_shape(input_shape, window, **self._window_settings())
        kernel = (*positions, channels * math.prod(window), self.features)
        return kernel, (*positions, self.features)

    @compact
    def __call__(self, inputs: Array) -> Array:
        """Convolve.

        Args:
          inputs: ``[*batch, *spatial, channels]`` with any number of batch axes, also none. They
            are flattened into one for the convolution and restored.

        Returns:
          ``[*batch, *spatial, features]``.

        Raises:
          ScopeParamShapeError: if the number of channels is not what the kernel was made for.
          ValueError: if input, mask or groups do not fit the window.
        """
        input_shape = np.shape(inputs)
        window = _window(self, input_shape)
        kernel_shape, bias_shape = self._shapes(window, input_shape)
        kernel = self.param("kernel", self.kernel_init, kernel_shape, self.param_dtype)
        kernel = _masked(self, kernel)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, bias_shape, self.param_dtype)
        x, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        settings = self._window_settings()
        if not self.shared_weights:
            return conv.conv_local(
                x, kernel, bias, window=window, precision=self.precision, **settings
            )
        cls = self.conv_general_dilated_cls
        return conv.conv(
            x,
            kernel,
            bias,
            feature_group_count=self.feature_group_count,
            precision=self.precision,
            conv_general_dilated=cls() if cls is not None else self.conv_general_dilated,
            **settings,
        )


class Conv(_Convolution):
    """A convolution with the same weights at every position.

    Parameters: ``kernel [*window, channels // groups, features]`` and ``bias [features]``.

    Attributes:
      features: the number of filters.
      kernel_size: the window: a size per spatial axis, or one integer for a single spatial axis.
      strides: steps between windows; one for all axes or one per axis, None for 1.
      padding: "SAME", "VALID", "CIRCULAR" (periodic), "REFLECT" (mirrored), "CAUSAL" (one spatial
        axis, nothing from later positions), a width, or per axis a width or (low, high) pair.
      input_dilation: distances between the elements of the input; above 1 this is a transposed
        convolution.
      kernel_dilation: distances between the elements of the window.
      feature_group_count: into how many groups the channels are split. On a mesh of several axes
        train such a layer inside `jax.set_mesh`: elsewhere XLA computes wrong gradients for it.
      use_bias: whether to add a bias.
      mask: multiplied with the kernel; of the same shape.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      precision: of the products; see `jax.lax.Precision`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      promote_dtype: brings input, kernel and bias to one dtype.
      conv_general_dilated: a function to use in place of `jax.lax.conv_general_dilated`.
      conv_general_dilated_cls: a class whose instance is used so.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.Conv(features=4, kernel_size=(3, 3))
      >>> y, variables = layer.init_with_output(jax.random.key(0), jax.numpy.ones((2, 8, 8, 3)))
      >>> y.shape, variables["params"]["kernel"].shape
      ((2, 8, 8, 4), (3, 3, 3, 4))
    """

    @property
    def shared_weights(self) -> bool:
        """Whether all positions of the result use the same weights: yes."""
        return True


class ConvLocal(_Convolution):
    """A convolution with weights of its own at each position of the result.

    Parameters: ``kernel [*positions, channels * prod(window), features]`` and
    ``bias [*positions, features]``.

    Attributes:
      features: the number of filters.
      kernel_size: as in `Conv`, like all other attributes. `feature_group_count` must be 1, and
        `conv_general_dilated` is not used.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.ConvLocal(features=4, kernel_size=(3,), padding="VALID")
      >>> y, variables = layer.init_with_output(jax.random.key(0), jax.numpy.ones((1, 8, 2)))
      >>> y.shape, variables["params"]["kernel"].shape
      ((1, 6, 4), (6, 6, 4))
    """

    @property
    def shared_weights(self) -> bool:
        """Whether all positions of the result use the same weights: no."""
        return False


class ConvTranspose(Module):
    """A transposed convolution: what moves elements apart by the strides instead of together.

    Parameters: ``kernel [*window, channels, features]`` (the last two swapped with
    `transpose_kernel`) and ``bias [features]``.

    Attributes:
      features: the number of filters.
      kernel_size: the window: a size per spatial axis, or one integer for a single spatial axis.
      strides: how far elements of the input are moved apart, per axis; None for 1.
      padding: "SAME", "VALID", "CIRCULAR" (periodic), a width, or per axis a width or
        (low, high) pair.
      kernel_dilation: distances between the elements of the window.
      use_bias: whether to add a bias.
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

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.ConvTranspose(features=4, kernel_size=(3, 3), strides=(2, 2))
      >>> y, variables = layer.init_with_output(jax.random.key(0), jax.numpy.ones((1, 8, 8, 3)))
      >>> y.shape
      (1, 16, 16, 4)
    """

    features: int
    kernel_size: int | Sequence[int]
    strides: Sequence[int] | None = None
    padding: PaddingLike = "SAME"
    kernel_dilation: Sequence[int] | None = None
    use_bias: bool = True
    mask: Array | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros
    transpose_kernel: bool = False
    promote_dtype: PromoteDtypeFn = promote_dtype
    preferred_element_type: Dtype | None = None

    @compact
    def __call__(self, inputs: Array) -> Array:
        """Convolve.

        Args:
          inputs: ``[*batch, *spatial, channels]`` with any number of batch axes, also none.

        Returns:
          ``[*batch, *spatial, features]``.

        Raises:
          ScopeParamShapeError: if the number of channels is not what the kernel was made for.
          ValueError: if input or mask do not fit the window.
        """
        input_shape = np.shape(inputs)
        window = _window(self, input_shape)
        ends = (input_shape[-1], self.features)
        kernel_shape = (*window, *(reversed(ends) if self.transpose_kernel else ends))
        kernel = self.param("kernel", self.kernel_init, kernel_shape, self.param_dtype)
        kernel = _masked(self, kernel)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        x, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
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
