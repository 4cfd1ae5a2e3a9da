"""Layers that normalise activations."""

from typing import Any

import jax
import jax.numpy as jnp

from ramie.linen.layers.linear import place
from ramie.linen.module import Module, compact, merge_param
from ramie.ops import initializers, norm
from ramie.ops.drawing.sampling import filled
from ramie.ops.moments import canonical_axes
from ramie.typing import Array, Axes, Dtype, Initializer

__all__ = [
    "BatchNorm",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "RMSNorm",
]


def _zero_mean(shape: tuple[int, ...]) -> Array:
    return filled(shape, 0, jnp.float32)


def _unit_variance(shape: tuple[int, ...]) -> Array:
    return filled(shape, 1, jnp.float32)


def _sizes(module: Module, x: Array, axes: Axes) -> tuple[int, ...]:
    """Return the sizes of the feature axes, the shape of scale and bias."""
    try:
        return tuple(x.shape[axis] for axis in canonical_axes(x.ndim, axes))
    except ValueError as error:
        raise ValueError(f"{place(module)}: {error}") from None


def _scale_and_bias(layer: Any, shape: tuple[int, ...]) -> tuple[Array | None, Array | None]:
    scale = bias = None
    if layer.use_scale:
        scale = layer.param("scale", layer.scale_init, shape, layer.param_dtype)
    if layer.use_bias:
        bias = layer.param("bias", layer.bias_init, shape, layer.param_dtype)
    return scale, bias


def _as_array(x: Any) -> Array:
    return x if isinstance(x, jax.Array) else jnp.asarray(x)


class BatchNorm(Module):
    """Normalise each feature over the batch, and over running statistics at evaluation.

    Parameters: ``scale`` and ``bias``. Variables: ``mean`` and ``var`` in the collection
    "batch_stats", float32; make it mutable to train. Initialisation leaves them at 0 and 1.

    Attributes:
      use_running_average: use the running statistics in place of those of the batch. It can be
        given to the call instead.
      axis: the feature axis, or axes.
      momentum: weight of the old running statistics at an update; a number or an array.
      epsilon: added to the variance; a number or an array, also a traced one.
      dtype: dtype of the result; by default what input and parameters promote to.
      param_dtype: dtype in which parameters are initialised.
      use_bias: whether to add a bias.
      use_scale: whether to multiply by a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      axis_name: mapped axis over which statistics are averaged too. It need not exist in `init`.
      axis_index_groups: groups of indices of that axis to average within.
      use_fast_variance: take the variance in one pass, which is wrong where the mean is some
        hundred deviations and more; False, or the flag ``ramie_exact_variance``, is right there.
      force_float32_reductions: take statistics in float32 at least.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.BatchNorm(use_running_average=False)
      >>> x = jax.numpy.ones((5, 3))
      >>> variables = layer.init(jax.random.key(0), x)
      >>> y, updates = layer.apply(variables, x, mutable=["batch_stats"])
      >>> updates["batch_stats"]["mean"].shape
      (3,)
    """

    use_running_average: bool | None = None
    axis: int = -1
    momentum: float | Array = 0.99
    epsilon: float | Array = 1e-5
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Initializer = initializers.zeros
    scale_init: Initializer = initializers.ones
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @compact
    def __call__(
        self, x: Array, use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Array:
        """Normalise.

        Args:
          x: the input.
          use_running_average: as the attribute; give one of the two.
          mask: which entries count for the statistics; broadcastable to `x`.

        Returns:
          An array of the same shape.

        Raises:
          ModifyScopeVariableError: if statistics are to be updated and "batch_stats" is not
            mutable.
          ValueError: if an axis does not exist, or `use_running_average` is given twice or never.
        """
        evaluate = merge_param("use_running_average", self.use_running_average, use_running_average)
        x = _as_array(x)
        shape = _sizes(self, x, self.axis)
        mean = self.variable("batch_stats", "mean", _zero_mean, shape)
        var = self.variable("batch_stats", "var", _unit_variance, shape)
        if evaluate:
            scale, bias = _scale_and_bias(self, shape)
            return norm.batch_norm(
                x,
                mean.value,
                var.value,
                scale,
                bias,
                axis=self.axis,
                epsilon=self.epsilon,
                dtype=self.dtype,
            )
        initializing = self.is_initializing()
        scale, bias = _scale_and_bias(self, shape)
        y, new_mean, new_var = norm.batch_norm_update(
            x,
            None if initializing else mean.value,
            None if initializing else var.value,
            scale,
            bias,
            mask,
            axis=self.axis,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=self.dtype,
            axis_name=None if initializing else self.axis_name,
            axis_index_groups=self.axis_index_groups,
            use_fast_variance=self.use_fast_variance,
            force_float32_reductions=self.force_float32_reductions,
        )
        if not initializing:
            mean.value, var.value = new_mean, new_var
        return y


class LayerNorm(Module):
    """Normalise each example over its features.

    Parameters: ``scale`` and ``bias``, with the sizes of `feature_axes` as their shape.

    Attributes:
      epsilon: added to the variance; a number or an array, also a traced one.
      dtype: dtype of the result; by default what input and parameters promote to.
      param_dtype: dtype in which parameters are initialised.
      use_bias: whether to add a bias.
      use_scale: whether to multiply by a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      reduction_axes: axes the statistics are taken over.
      feature_axes: axes along which scale and bias vary.
      axis_name: mapped axis over which statistics are averaged too.
      axis_index_groups: groups of indices of that axis to average within.
      use_fast_variance: take the variance in one pass, which is wrong where the mean is some
        hundred deviations and more; False, or the flag ``ramie_exact_variance``, is right there.
      force_float32_reductions: take statistics in float32 at least.

    Example:
      >>> import jax, ramie.linen as nn
      >>> x = jax.numpy.array([[1.0, 2.0, 3.0]])
      >>> y, _ = nn.LayerNorm().init_with_output(jax.random.key(0), x)
      >>> bool(abs(y.mean()) < 1e-6)
      True
    """

    epsilon: float | Array = 1e-6
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Initializer = initializers.zeros
    scale_init: Initializer = initializers.ones
    reduction_axes: Axes = -1
    feature_axes: Axes = -1
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @compact
    def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
        """Normalise.

        Args:
          x: the input.
          mask: which entries count for the statistics; broadcastable to `x`.

        Returns:
          An array of the same shape.

        Raises:
          ValueError: if an axis does not exist.
        """
        x = _as_array(x)
        scale, bias = _scale_and_bias(self, _sizes(self, x, self.feature_axes))
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
            force_float32_reductions=self.force_float32_reductions,
        )


class RMSNorm(Module):
    """Divide by the root mean square of the features, without moving the mean.

    Parameter: ``scale``, with the sizes of `feature_axes` as its shape.

    Attributes:
      epsilon: added to the mean square; a number or an array, also a traced one.
      dtype: dtype of the result; by default what input and parameter promote to.
      param_dtype: dtype in which the parameter is initialised.
      use_scale: whether to multiply by a scale.
      scale_init: initializer of the scale.
      reduction_axes: axes the statistics are taken over.
      feature_axes: axes along which the scale varies.
      axis_name: mapped axis over which statistics are averaged too.
      axis_index_groups: groups of indices of that axis to average within.
      use_fast_variance: makes no difference; the mean square takes one pass anyway.
      force_float32_reductions: take statistics in float32 at least.

    Example:
      >>> import jax, ramie.linen as nn
      >>> x = jax.numpy.array([[3.0, 4.0]])
      >>> y, _ = nn.RMSNorm().init_with_output(jax.random.key(0), x)
      >>> bool(abs((y**2).mean() - 1) < 1e-5)
      True
    """

    epsilon: float | Array = 1e-6
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    use_scale: bool = True
    scale_init: Initializer = initializers.ones
    reduction_axes: Axes = -1
    feature_axes: Axes = -1
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @compact
    def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
        """Normalise.

        Args:
          x: the input.
          mask: which entries count for the statistics; broadcastable to `x`.

        Returns:
          An array of the same shape.

        Raises:
          ValueError: if an axis does not exist.
        """
        x = _as_array(x)
        shape = _sizes(self, x, self.feature_axes)
        scale = None
        if self.use_scale:
            scale = self.param("scale", self.scale_init, shape, self.param_dtype)
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
            force_float32_reductions=self.force_float32_reductions,
        )


class GroupNorm(Module):
    """Normalise each example over groups of channels.

    Parameters: ``scale [channels]`` and ``bias [channels]``.

    Attributes:
      num_groups: number of groups; None when `group_size` is given.
      group_size: channels in a group; None when `num_groups` is given.
      epsilon: added to the variance; a number or an array, also a traced one.
      dtype: dtype of the result; by default what input and parameters promote to.
      param_dtype: dtype in which parameters are initialised.
      use_bias: whether to add a bias.
      use_scale: whether to multiply by a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      reduction_axes: axes the statistics are taken over, the last one among them; by default all
        but the first. Give them for inputs without a batch axis.
      axis_name: mapped axis over which statistics are averaged too.
      axis_index_groups: groups of indices of that axis to average within.
      use_fast_variance: take the variance in one pass, which is wrong where the mean is some
        hundred deviations and more; False, or the flag ``ramie_exact_variance``, is right there.
      force_float32_reductions: take statistics in float32 at least.

    Example:
      >>> import jax, ramie.linen as nn
      >>> x = jax.numpy.ones((2, 4, 4, 6))
      >>> nn.GroupNorm(num_groups=3).init_with_output(jax.random.key(0), x)[0].shape
      (2, 4, 4, 6)
    """

    num_groups: int | None = 32
    group_size: int | None = None
    epsilon: float | Array = 1e-6
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Initializer = initializers.zeros
    scale_init: Initializer = initializers.ones
    reduction_axes: Axes | None = None
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @compact
    def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
        """Normalise.

        Args:
          x: ``[..., channels]``.
          mask: which entries count for the statistics; broadcastable to `x`.

        Returns:
          An array of the same shape.

        Raises:
          ValueError: if the groups do not come out even, both or none of the two sizes are given,
            or the last axis is not reduced.
        """
        x = _as_array(x)
        scale, bias = _scale_and_bias(self, _sizes(self, x, -1))
        return norm.group_norm(
            x,
            scale,
            bias,
            mask,
            num_groups=self.num_groups,
            group_size=self.group_size,
            reduction_axes=self.reduction_axes,
            epsilon=self.epsilon,
            dtype=self.dtype,
            axis_name=self.axis_name,
            axis_index_groups=self.axis_index_groups,
            use_fast_variance=self.use_fast_variance,
            force_float32_reductions=self.force_float32_reductions,
        )


class InstanceNorm(Module):
    """Normalise each channel of each example over its places.

    Parameters: ``scale`` and ``bias``, with the sizes of `feature_axes` as their shape.

    Attributes:
      epsilon: added to the variance; a number or an array, also a traced one.
      dtype: dtype of the result; by default what input and parameters promote to.
      param_dtype: dtype in which parameters are initialised.
      use_bias: whether to add a bias.
      use_scale: whether to multiply by a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      feature_axes: the channel axes; statistics are taken over all others but the first.
      axis_name: mapped axis over which statistics are averaged too.
      axis_index_groups: groups of indices of that axis to average within.
      use_fast_variance: take the variance in one pass, which is wrong where the mean is some
        hundred deviations and more; False, or the flag ``ramie_exact_variance``, is right there.
      force_float32_reductions: take statistics in float32 at least.

    Example:
      >>> import jax, ramie.linen as nn
      >>> x = jax.numpy.ones((2, 4, 4, 3))
      >>> nn.InstanceNorm().init(jax.random.key(0), x)["params"]["scale"].shape
      (3,)
    """

    epsilon: float | Array = 1e-6
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Initializer = initializers.zeros
    scale_init: Initializer = initializers.ones
    feature_axes: Axes = -1
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @compact
    def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
        """Normalise.

        Args:
          x: ``[batch, ...]``.
          mask: which entries count for the statistics; broadcastable to `x`.

        Returns:
          An array of the same shape.

        Raises:
          ValueError: if the first axis is among `feature_axes`, or an axis does not exist.
        """
        x = _as_array(x)
        shape = _sizes(self, x, self.feature_axes)
        channels = canonical_axes(x.ndim, self.feature_axes)
        if 0 in channels:
            raise ValueError(
                "The channel axes cannot include the leading dimension as this is assumed to be "
                f"the batch axis. {place(self)} has feature_axes={self.feature_axes} and an input "
                f"of shape {x.shape}."
            )
        scale, bias = _scale_and_bias(self, shape)
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
            force_float32_reductions=self.force_float32_reductions,
        )
