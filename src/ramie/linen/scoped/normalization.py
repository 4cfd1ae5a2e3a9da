"""Batch, layer and group norm on bare scopes.

They share their arithmetic with the Linen layers and keep the conventions of their own: where
scale and bias are multiplied in, in which dtype statistics are taken, what shape parameters have.
The variance is bounded below by zero, in Flax it is not.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.core.scope.scope import Scope
from ramie.ops import initializers
from ramie.ops.moments import (
    apart,
    as_array,
    canonical_axes,
    cast,
    counted,
    fitted,
    moments,
    normalize,
    stat_dtype,
)
from ramie.ops.norm import channels_per_group
from ramie.typing import Array, Axes, Dtype, Initializer, Shape

__all__ = ["batch_norm", "group_norm", "layer_norm"]


def _scale_and_bias(
    scope: Scope,
    shape: Shape,
    scale_init: Initializer | None,
    bias_init: Initializer | None,
) -> tuple[Array | None, Array | None]:
    """Fetch both parameters, scale first; one without initializer is left out."""
    inits = {"scale": scale_init, "bias": bias_init}
    scale, bias = (None if f is None else scope.param(n, f, shape) for n, f in inits.items())
    return scale, bias


def _statistics(
    x: Array, axes: tuple[int, ...], dtype: Any, axis_name: Any = None, groups: Any = None
) -> tuple[Any, Array, bool]:
    return moments(
        x,
        None,
        axes,
        dtype=dtype,
        axis_name=axis_name,
        axis_index_groups=groups,
        use_mean=True,
        use_fast_variance=True,
    )


def _moved(running: Array, batch: Array, momentum: float | Array) -> Array:
    # As a step towards the batch: rounded otherwise than a weighted sum of the two.
    step = lax.mul(fitted(1 - momentum, running), lax.sub(batch, running))
    return lax.add(running, step)


def batch_norm(
    scope: Scope,
    x: Array,
    use_running_average: bool = False,
    axis: Axes = -1,
    momentum: float | Array = 0.99,
    epsilon: float | Array = 1e-5,
    dtype: Dtype = jnp.float32,
    bias: bool = True,
    scale: bool = True,
    bias_init: Initializer = initializers.zeros,
    scale_init: Initializer = initializers.ones,
    axis_name: Any = None,
    axis_index_groups: Any = None,
    kind: str = "batch_stats",
) -> Array:
    """Normalise each feature over the batch: ``[..., features] -> [..., features]``.

    The parameters ``scale`` and ``bias`` and the running ``mean`` and ``var`` have the sizes of the
    feature axes as their shape. The running statistics move at each call but the first one, which
    makes them.

    Args:
      scope: where the variables lie.
      x: the input.
      use_running_average: normalise by the running statistics and leave them alone.
      axis: the feature axis, or axes.
      momentum: weight of the old running statistics; the batch has the rest.
      epsilon: added to the variance.
      dtype: dtype of the result; statistics are taken in float32 at least.
      bias: whether to add a bias.
      scale: whether to multiply by a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      axis_name: mapped axis over which the statistics are averaged as well.
      axis_index_groups: groups of indices of that axis to average within.
      kind: the collection of the running statistics.

    Raises:
      ModifyScopeVariableError: if the statistics have to move, and their collection is immutable.
    """
    x = as_array(x)
    features = canonical_axes(x.ndim, axis)
    shape = tuple(x.shape[a] for a in features)
    axes = tuple(a for a in range(x.ndim) if a not in features)
    is_new = not scope.has_variable(kind, "mean")
    running_mean = scope.variable(kind, "mean", jnp.zeros, shape, jnp.float32)
    running_var = scope.variable(kind, "var", jnp.ones, shape, jnp.float32)
    x = cast(x, jnp.promote_types(x.dtype, jnp.float32))
    mean, second, about_zero = running_mean.value, running_var.value, False
    if not use_running_average:
        mean, second, about_zero = _statistics(x, axes, x.dtype, axis_name, axis_index_groups)
        if not is_new and counted(None, x.shape, axes) is None:
            variance = lax.max(np.zeros((), x.dtype), lax.sub(second, lax.square(mean)))
            running_mean.value = _moved(running_mean.value, cast(mean, jnp.float32), momentum)
            running_var.value = _moved(running_var.value, cast(variance, jnp.float32), momentum)
    factor, offset = _scale_and_bias(
        scope, shape, scale_init if scale else None, bias_init if bias else None
    )
    setting, varied = apart(epsilon)
    return normalize(
        x,
        mean,
        second,
        factor,
        offset,
        varied,
        axes=axes,
        feature_axes=features,
        epsilon=setting,
        dtype=np.dtype(dtype),
        about_zero=about_zero,
    )


def layer_norm(
    scope: Scope,
    x: Array,
    epsilon: float | Array = 1e-6,
    dtype: Dtype = jnp.float32,
    bias: bool = True,
    scale: bool = True,
    bias_init: Initializer = initializers.zeros,
    scale_init: Initializer = initializers.ones,
) -> Array:
    """Normalise each example over its features: ``[..., features] -> [..., features]``.

    Statistics are taken in the dtype of `x`, so half precision stays half precision.

    Args:
      scope: where the parameters ``scale`` and ``bias`` of shape ``[features]`` lie.
      x: the input.
      epsilon: added to the variance.
      dtype: dtype of the result.
      bias: whether to add a bias.
      scale: whether to multiply by a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
    """
    x = as_array(x)
    axes = canonical_axes(x.ndim, -1)
    mean, second, about_zero = _statistics(x, axes, stat_dtype(x, None, False))
    factor, offset = _scale_and_bias(
        scope, x.shape[-1:], scale_init if scale else None, bias_init if bias else None
    )
    wanted = np.dtype(dtype)
    setting, varied = apart(epsilon)
    return normalize(
        x,
        mean,
        second,
        None if factor is None else cast(factor, wanted),
        None if offset is None else cast(offset, wanted),
        varied,
        axes=axes,
        feature_axes=axes,
        epsilon=setting,
        dtype=wanted,
        about_zero=about_zero,
    )


def group_norm(
    scope: Scope,
    x: Array,
    num_groups: int | None = 32,
    group_size: int | None = None,
    epsilon: float | Array = 1e-6,
    dtype: Dtype = jnp.float32,
    bias: bool = True,
    scale: bool = True,
    bias_init: Initializer = initializers.zeros,
    scale_init: Initializer = initializers.ones,
) -> Array:
    """Normalise each example over groups of channels: ``[batch, ..., channels] -> same``.

    Args:
      scope: where the parameters ``scale`` and ``bias`` lie; their shape is that of `x`, with one
        for all sizes but the last.
      x: the input.
      num_groups: number of groups; None when `group_size` is given.
      group_size: channels in a group; None when `num_groups` is given.
      epsilon: added to the variance.
      dtype: dtype of the result; statistics are taken in float32 at least.
      bias: whether to add a bias.
      scale: whether to multiply by a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.

    Raises:
      ValueError: if both sizes or none are given, or the groups do not come out even.

    Differs from Flax: groups that do not come out even are a ValueError rather than a TypeError.
    """
    x = as_array(x)
    size = channels_per_group(x.shape[-1] if x.ndim else 0, num_groups, group_size)
    x = cast(x, jnp.promote_types(x.dtype, jnp.float32))
    grouped = lax.reshape(x, (*x.shape[:-1], x.shape[-1] // size, size))
    axes = (*range(1, x.ndim - 1), x.ndim)
    mean, second, about_zero = _statistics(grouped, axes, x.dtype)
    setting, varied = apart(epsilon)
    y = normalize(
        grouped,
        mean,
        second,
        None,
        None,
        varied,
        axes=axes,
        feature_axes=(),
        epsilon=setting,
        dtype=x.dtype,
        about_zero=about_zero,
    )
    y = lax.reshape(y, x.shape)
    shape = (*(1,) * (x.ndim - 1), x.shape[-1])
    factor, offset = _scale_and_bias(
        scope, shape, scale_init if scale else None, bias_init if bias else None
    )
    y = y if factor is None else y * factor
    y = y if offset is None else y + offset
    return cast(y, np.dtype(dtype))
