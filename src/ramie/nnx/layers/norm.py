"""Layers that normalise each example: LayerNorm, RMSNorm, GroupNorm and InstanceNorm."""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from ramie.nnx.layers.dtypes import promote_dtype
from ramie.nnx.layers.parameters import NO_METADATA, keep, optional_param, raw
from ramie.nnx.modules.module import Module
from ramie.nnx.modules.places import place
from ramie.nnx.randomness.rng import Rngs
from ramie.nnx.variable.kinds import Param
from ramie.ops import initializers, norm
from ramie.ops.moments import canonical_axes
from ramie.typing import Array, Axes, Dtype, Initializer, PromoteDtypeFn

__all__ = ["GroupNorm", "InstanceNorm", "LayerNorm", "RMSNorm", "check_features", "scale_and_bias"]


def scale_and_bias(
    layer: Any,
    size: int,
    rngs: Rngs,
    *,
    use_scale: bool,
    use_bias: bool,
    scale_init: Initializer,
    bias_init: Initializer,
    param_dtype: Dtype,
    scale_metadata: Mapping[str, Any],
    bias_metadata: Mapping[str, Any],
) -> None:
    """Give a layer its `scale` and `bias`, each None where it is not wanted."""
    shape = (size,)
    layer.scale = optional_param(use_scale, rngs, scale_init, shape, param_dtype, scale_metadata)
    layer.bias = optional_param(use_bias, rngs, bias_init, shape, param_dtype, bias_metadata)


def check_features(layer: Module, x: Array, axes: Axes, parameter: Any) -> None:
    """Raise `ValueError` unless a parameter has the sizes of the feature axes of an input."""
    try:
        sizes = tuple(x.shape[axis] for axis in canonical_axes(x.ndim, axes))
    except ValueError as error:
        raise ValueError(f"{place(layer)}: {error}") from None
    if parameter is not None and parameter.size != math.prod(sizes):
        raise ValueError(
            f"{place(layer)} was made for {parameter.size} features, but the input of "
            f"shape {x.shape} has sizes {sizes} along its feature axes {axes}."
        )


class LayerNorm(Module):
    """Normalise each example over its features.

    Parameters: ``scale [num_features]`` and ``bias [num_features]``.

    Args:
      num_features: the size of the feature axis; of several axes, the product of their sizes.
      epsilon: added to the variance; a number or an array, also a traced one.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      use_bias: whether to add a bias; else `bias` is None.
      use_scale: whether to multiply by a scale; else `scale` is None.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      reduction_axes: axes the statistics are taken over.
      feature_axes: axes along which scale and bias vary.
      axis_name: mapped axis over which statistics are averaged too.
      axis_index_groups: groups of indices of that axis to average within.
      use_fast_variance: take the variance in one pass, which is wrong where the mean is some
        hundred deviations and more; False, or the flag ``ramie_exact_variance``, is right there.
      promote_dtype: brings input and parameters to one dtype.
      rngs: the keys for the parameters.
      bias_metadata: metadata of the bias.
      scale_metadata: metadata of the scale.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> y = nnx.LayerNorm(3, rngs=nnx.Rngs(0))(jnp.array([[1.0, 2.0, 3.0]]))
        >>> bool(abs(y.mean()) < 1e-6)
        True
    """

    scale: Param[Array] | None
    bias: Param[Array] | None
    num_features: int
    epsilon: float | Array
    dtype: Dtype | None
    param_dtype: Dtype
    use_bias: bool
    use_scale: bool
    reduction_axes: Axes
    feature_axes: Axes
    axis_name: str | None
    axis_index_groups: Any
    use_fast_variance: bool
    promote_dtype: PromoteDtypeFn

    def __init__(
        self,
        num_features: int,
        *,
        epsilon: float | Array = 1e-6,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Initializer = initializers.zeros,
        scale_init: Initializer = initializers.ones,
        reduction_axes: Axes = -1,
        feature_axes: Axes = -1,
        axis_name: str | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = True,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        rngs: Rngs,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        scale_and_bias(
            self,
            num_features,
            rngs,
            use_scale=use_scale,
            use_bias=use_bias,
            scale_init=scale_init,
            bias_init=bias_init,
            param_dtype=param_dtype,
            scale_metadata=scale_metadata,
            bias_metadata=bias_metadata,
        )
        keep(
            self,
            num_features=num_features,
            epsilon=epsilon,
            dtype=dtype,
            param_dtype=param_dtype,
            use_bias=use_bias,
            use_scale=use_scale,
            reduction_axes=reduction_axes,
            feature_axes=feature_axes,
            axis_name=axis_name,
            axis_index_groups=axis_index_groups,
            use_fast_variance=use_fast_variance,
            promote_dtype=promote_dtype,
        )

    def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
        """Normalise.

        Args:
          x: the input, of any shape that has the axes.
          mask: which entries count for the statistics; broadcastable to `x`.

        Returns:
          An array of the same shape.

        Raises:
          ValueError: if an axis does not exist, or the features do not fit.
        """
        x, scale, bias = self.promote_dtype((x, raw(self.scale), raw(self.bias)), dtype=self.dtype)
        check_features(self, x, self.feature_axes, bias if scale is None else scale)
        return norm.layer_norm(
            x,
            scale,
            bias,
            mask,
            reduction_axes=self.reduction_axes,
            feature_axes=self.feature_axes,
            epsilon=self.epsilon,
            dtype=self.dtype,
            axis_name=self.axis_name,
            axis_index_groups=self.axis_index_groups,
            use_fast_variance=self.use_fast_variance,
        )


class RMSNorm(Module):
    """Divide by the root mean square of the features, without moving the mean.

    Parameter: ``scale [num_features]``.

    Args:
      num_features: the size of the feature axis; of several axes, the product of their sizes.
      epsilon: added to the mean square; a number or an array, also a traced one.
      dtype: the dtype to compute in; by default what input and parameter promote to.
      param_dtype: the dtype in which the parameter is initialised.
      use_scale: whether to multiply by a scale; else `scale` is None.
      scale_init: initializer of the scale.
      reduction_axes: axes the statistics are taken over.
      feature_axes: axes along which the scale varies.
      axis_name: mapped axis over which statistics are averaged too.
      axis_index_groups: groups of indices of that axis to average within.
      use_fast_variance: makes no difference; the mean square takes one pass anyway.
      promote_dtype: brings input and parameter to one dtype.
      rngs: the key for the parameter.
      scale_metadata: metadata of the scale.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> y = nnx.RMSNorm(2, rngs=nnx.Rngs(0))(jnp.array([[3.0, 4.0]]))
        >>> bool(abs((y**2).mean() - 1) < 1e-5)
        True
    """

    num_features: int
    epsilon: float | Array
    dtype: Dtype | None
    param_dtype: Dtype
    use_scale: bool
    reduction_axes: Axes
    feature_axes: Axes
    axis_name: str | None
    axis_index_groups: Any
    use_fast_variance: bool
    promote_dtype: PromoteDtypeFn

    def __init__(
        self,
        num_features: int,
        *,
        epsilon: float | Array = 1e-6,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        use_scale: bool = True,
        scale_init: Initializer = initializers.ones,
        reduction_axes: Axes = -1,
        feature_axes: Axes = -1,
        axis_name: str | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = True,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        rngs: Rngs,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        self.scale = optional_param(
            use_scale, rngs, scale_init, (num_features,), param_dtype, scale_metadata
        )
        keep(
            self,
            num_features=num_features,
            epsilon=epsilon,
            dtype=dtype,
            param_dtype=param_dtype,
            use_scale=use_scale,
            reduction_axes=reduction_axes,
            feature_axes=feature_axes,
            axis_name=axis_name,
            axis_index_groups=axis_index_groups,
            use_fast_variance=use_fast_variance,
            promote_dtype=promote_dtype,
        )

    def __call__(self, x: Array, mask: Array | None = None) -> Array:
        """Normalise.

        Args:
          x: the input, of any shape that has the axes.
          mask: which entries count for the statistics; broadcastable to `x`.

        Returns:
          An array of the same shape.

        Raises:
          ValueError: if an axis does not exist, or the features do not fit.
        """
        x, scale = self.promote_dtype((x, raw(self.scale)), dtype=self.dtype)
        check_features(self, x, self.feature_axes, scale)
        return norm.layer_norm(
            x,
            scale,
            None,
            mask,
            reduction_axes=self.reduction_axes,
            feature_axes=self.feature_axes,
            epsilon=self.epsilon,
            dtype=self.dtype,
            axis_name=self.axis_name,
            axis_index_groups=self.axis_index_groups,
            use_mean=False,
            use_fast_variance=self.use_fast_variance,
        )


class GroupNorm(Module):
    """Normalise each example over groups of channels.

    Parameters: ``scale [num_features]`` and ``bias [num_features]``.

    Args:
      num_features: the number of channels, which stand in the last axis.
      num_groups: number of groups; None when `group_size` is given.
      group_size: channels in a group; None when `num_groups` is given.
      epsilon: added to the variance; a number or an array, also a traced one.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      use_bias: whether to add a bias; else `bias` is None.
      use_scale: whether to multiply by a scale; else `scale` is None.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      reduction_axes: axes the statistics are taken over, the last one among them; by default all
        but the first. Give them for inputs without a batch axis.
      axis_name: mapped axis over which statistics are averaged too.
      axis_index_groups: groups of indices of that axis to average within.
      use_fast_variance: take the variance in one pass, which is wrong where the mean is some
        hundred deviations and more; False, or the flag ``ramie_exact_variance``, is right there.
      promote_dtype: brings input and parameters to one dtype.
      rngs: the keys for the parameters.
      bias_metadata: metadata of the bias.
      scale_metadata: metadata of the scale.

    Raises:
      ValueError: if the groups do not come out even, or both or none of the two sizes are given.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> layer = nnx.GroupNorm(6, num_groups=3, rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((2, 4, 4, 6))).shape, layer.group_size
        ((2, 4, 4, 6), 2)
    """

    feature_axis: int
    num_groups: int
    group_size: int
    scale: Param[Array] | None
    bias: Param[Array] | None
    epsilon: float | Array
    dtype: Dtype | None
    param_dtype: Dtype
    use_bias: bool
    use_scale: bool
    reduction_axes: Axes | None
    axis_name: str | None
    axis_index_groups: Any
    use_fast_variance: bool
    promote_dtype: PromoteDtypeFn

    def __init__(
        self,
        num_features: int,
        num_groups: int | None = 32,
        group_size: int | None = None,
        *,
        epsilon: float | Array = 1e-6,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Initializer = initializers.zeros,
        scale_init: Initializer = initializers.ones,
        reduction_axes: Axes | None = None,
        axis_name: str | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = True,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        rngs: Rngs,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        size = norm.channels_per_group(num_features, num_groups, group_size)
        keep(self, feature_axis=-1, num_groups=num_features // size, group_size=size)
        scale_and_bias(
            self,
            num_features,
            rngs,
            use_scale=use_scale,
            use_bias=use_bias,
            scale_init=scale_init,
            bias_init=bias_init,
            param_dtype=param_dtype,
            scale_metadata=scale_metadata,
            bias_metadata=bias_metadata,
        )
        keep(
            self,
            epsilon=epsilon,
            dtype=dtype,
            param_dtype=param_dtype,
            use_bias=use_bias,
            use_scale=use_scale,
            reduction_axes=reduction_axes,
            axis_name=axis_name,
            axis_index_groups=axis_index_groups,
            use_fast_variance=use_fast_variance,
            promote_dtype=promote_dtype,
        )

    def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
        """Normalise.

        Args:
          x: ``[..., num_features]``.
          mask: which entries count for the statistics; broadcastable to `x`.

        Returns:
          An array of the same shape.

        Raises:
          ValueError: if the channels are not those that the layer was made for, or the last axis
            is not reduced.
        """
        x, scale, bias = self.promote_dtype((x, raw(self.scale), raw(self.bias)), dtype=self.dtype)
        channels = self.num_groups * self.group_size
        if x.shape[-1:] != (channels,):
            raise ValueError(
                f"{place(self)} was made for {channels} features, but the last axis of an input of "
                f"shape {x.shape} has another size."
            )
        return norm.group_norm(
            x,
            scale,
            bias,
            mask,
            num_groups=self.num_groups,
            reduction_axes=self.reduction_axes,
            epsilon=self.epsilon,
            dtype=self.dtype,
            axis_name=self.axis_name,
            axis_index_groups=self.axis_index_groups,
            use_fast_variance=self.use_fast_variance,
        )


class InstanceNorm(Module):
    """Normalise each channel of each example over its places.

    Parameters: ``scale [num_features]`` and ``bias [num_features]``.

    Args:
      num_features: the size of the channel axis; of several axes, the product of their sizes.
      epsilon: added to the variance; a number or an array, also a traced one.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      use_bias: whether to add a bias; else `bias` is None.
      use_scale: whether to multiply by a scale; else `scale` is None.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      feature_axes: the channel axes; statistics are taken over all others but the first.
      axis_name: mapped axis over which statistics are averaged too.
      axis_index_groups: groups of indices of that axis to average within.
      use_fast_variance: take the variance in one pass, which is wrong where the mean is some
        hundred deviations and more; False, or the flag ``ramie_exact_variance``, is right there.
      promote_dtype: brings input and parameters to one dtype.
      rngs: the keys for the parameters.
      bias_metadata: metadata of the bias.
      scale_metadata: metadata of the scale.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> nnx.InstanceNorm(3, rngs=nnx.Rngs(0))(jnp.ones((2, 4, 4, 3))).shape
        (2, 4, 4, 3)
    """

    scale: Param[Array] | None
    bias: Param[Array] | None
    num_features: int
    epsilon: float | Array
    dtype: Dtype | None
    param_dtype: Dtype
    use_bias: bool
    use_scale: bool
    feature_axes: Axes
    axis_name: str | None
    axis_index_groups: Any
    use_fast_variance: bool
    promote_dtype: PromoteDtypeFn

    def __init__(
        self,
        num_features: int,
        *,
        epsilon: float | Array = 1e-6,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Initializer = initializers.zeros,
        scale_init: Initializer = initializers.ones,
        feature_axes: Axes = -1,
        axis_name: str | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = True,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        rngs: Rngs,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        scale_and_bias(
            self,
            num_features,
            rngs,
            use_scale=use_scale,
            use_bias=use_bias,
            scale_init=scale_init,
            bias_init=bias_init,
            param_dtype=param_dtype,
            scale_metadata=scale_metadata,
            bias_metadata=bias_metadata,
        )
        keep(
            self,
            num_features=num_features,
            epsilon=epsilon,
            dtype=dtype,
            param_dtype=param_dtype,
            use_bias=use_bias,
            use_scale=use_scale,
            feature_axes=feature_axes,
            axis_name=axis_name,
            axis_index_groups=axis_index_groups,
            use_fast_variance=use_fast_variance,
            promote_dtype=promote_dtype,
        )

    def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
        """Normalise.

        Args:
          x: ``[batch, ...]``.
          mask: which entries count for the statistics; broadcastable to `x`.

        Returns:
          An array of the same shape.

        Raises:
          ValueError: if the first axis is among `feature_axes`, an axis does not exist, or the
            channels do not fit.
        """
        x, scale, bias = self.promote_dtype((x, raw(self.scale), raw(self.bias)), dtype=self.dtype)
        check_features(self, x, self.feature_axes, bias if scale is None else scale)
        channels = canonical_axes(x.ndim, self.feature_axes)
        if 0 in channels:
            raise ValueError(
                "The channel axes cannot include the leading dimension as this is assumed to be "
                f"the batch axis. InstanceNorm has feature_axes={self.feature_axes} and an input "
                f"of shape {x.shape}."
            )
        return norm.layer_norm(
            x,
            scale,
            bias,
            mask,
            reduction_axes=tuple(a for a in range(1, x.ndim) if a not in channels),
            feature_axes=channels,
            epsilon=self.epsilon,
            dtype=self.dtype,
            axis_name=self.axis_name,
            axis_index_groups=self.axis_index_groups,
            use_fast_variance=self.use_fast_variance,
        )
