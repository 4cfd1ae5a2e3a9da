"""Normalisation of activations: batch, layer, root-mean-square, group and instance norm.

They differ in the axes over which they take moments. Statistics of reduced-precision
inputs are taken in float32 unless that is switched off.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.ops.eager.dispatch import eager_compiled
from ramie.ops.eager.meshes import laid_out
from ramie.ops.moments import (
    apart,
    as_array,
    canonical_axes,
    counted,
    finite_under,
    moments,
    normalize,
    normalize_and_update,
    restored,
    result_dtype,
    stat_dtype,
)
from ramie.typing import Array, Axes, Dtype

__all__ = [
    "batch_norm",
    "batch_norm_update",
    "channels_per_group",
    "detached",
    "group_norm",
    "layer_norm",
]

_STATISTICS = (
    "epsilon",
    "dtype",
    "axis_name",
    "axis_index_groups",
    "use_fast_variance",
    "force_float32_reductions",
)

# --- the norms ------------------------------------------------------------------------------------


def _layer_sources(x: Array, *of_features: Array | None, feature_axes: Axes = -1, **_: Any) -> Any:
    """Say where the result of a norm comes from: `of_features` are scale and bias, and a mask."""
    features = canonical_axes(np.ndim(x), feature_axes)
    return [[(x, range(np.ndim(x))), *((array, features) for array in of_features[:2])]]


def _group_sources(x: Array, *of_features: Array | None, **_: Any) -> Any:
    return _layer_sources(x, *of_features)


def _batch_sources(x: Array, mean: Any, var: Any, *others: Any, axis: Axes = -1, **_: Any) -> Any:
    (normalized,) = _layer_sources(x, *others, feature_axes=axis)
    own = [[(running, range(running.ndim))] for running in (mean, var) if running is not None]
    return [normalized, *own]


@laid_out(_layer_sources)
@eager_compiled(static_argnames=(*_STATISTICS, "reduction_axes", "feature_axes", "use_mean"))
def layer_norm(
    x: Array,
    scale: Array | None = None,
    bias: Array | None = None,
    mask: Array | None = None,
    *,
    reduction_axes: Axes = -1,
    feature_axes: Axes = -1,
    epsilon: float | Array = 1e-6,
    dtype: Dtype | None = None,
    axis_name: Any = None,
    axis_index_groups: Any = None,
    use_mean: bool = True,
    use_fast_variance: bool = True,
    force_float32_reductions: bool = True,
) -> Array:
    """Normalise each example over `reduction_axes`.

    ``x: [..., features] -> [..., features]``. With ``use_mean=False`` this is RMSNorm; with the
    spatial axes as `reduction_axes` it is InstanceNorm.

    Args:
      x: the input.
      scale: factor, with the sizes of `feature_axes` as its shape.
      bias: offset, of the same shape.
      mask: which entries count for the statistics; broadcastable to `x`. What is no finite number
        under it stays what it is and has no effect on others.
      reduction_axes: axes the statistics are taken over.
      feature_axes: axes along which `scale` and `bias` vary.
      epsilon: added to the variance; it may be an array, also a traced one.
      dtype: dtype of the result; by default what `x`, `scale` and `bias` promote to.
      axis_name: mapped axis over which the statistics are averaged as well.
      axis_index_groups: groups of indices of that axis to average within.
      use_mean: whether the mean is subtracted.
      use_fast_variance: take the variance as ``E[x^2] - E[x]^2``, in one pass. It is wrong where
        the mean is some hundred deviations and more; False, or the flag ``ramie_exact_variance``
        for all norms, is right there too.
      force_float32_reductions: take statistics in float32 at least.

    Returns:
      The normalised array.

    Raises:
      ValueError: if an axis does not exist.

    Example:
      >>> import jax.numpy as jnp
      >>> layer_norm(jnp.array([[1.0, 3.0]]), epsilon=0.0).tolist()
      [[-1.0, 1.0]]

    Reference:
      Ba, Kiros, Hinton, "Layer Normalization"; Zhang, Sennrich, "Root Mean Square Layer
      Normalization"; Ulyanov et al., "Instance Normalization".
    """
    given = as_array(x)
    x, same = finite_under(given, mask)
    out_dtype = result_dtype(x, scale, bias, dtype)
    axes = canonical_axes(x.ndim, reduction_axes)
    mean, second, about_zero = moments(
        x,
        mask,
        axes,
        dtype=stat_dtype(x, dtype, force_float32_reductions),
        axis_name=axis_name,
        axis_index_groups=axis_index_groups,
        use_mean=use_mean,
        use_fast_variance=use_fast_variance,
    )
    setting, varied = apart(epsilon)
    y = normalize(
        x,
        mean,
        second,
        scale,
        bias,
        varied,
        axes=axes,
        feature_axes=canonical_axes(x.ndim, feature_axes),
        epsilon=setting,
        dtype=out_dtype,
        about_zero=about_zero,
    )
    return restored(y, given, same)


@laid_out(_group_sources)
@eager_compiled(static_argnames=(*_STATISTICS, "num_groups", "group_size", "reduction_axes"))
def group_norm(
    x: Array,
    scale: Array | None = None,
    bias: Array | None = None,
    mask: Array | None = None,
    *,
    num_groups: int | None = 32,
    group_size: int | None = None,
    reduction_axes: Axes | None = None,
    epsilon: float | Array = 1e-6,
    dtype: Dtype | None = None,
    axis_name: Any = None,
    axis_index_groups: Any = None,
    use_fast_variance: bool = True,
    force_float32_reductions: bool = True,
) -> Array:
    """Normalise over groups of channels, which stand in the last axis.

    ``x: [batch..., spatial..., channels] -> same``.

    Args:
      x: the input.
      scale: factor of shape ``[channels]``.
      bias: offset of shape ``[channels]``.
      mask: which entries count for the statistics; broadcastable to `x`. What is no finite number
        under it stays what it is and has no effect on others.
      num_groups: number of groups; None when `group_size` is given.
      group_size: channels in a group; None when `num_groups` is given.
      reduction_axes: axes the statistics are taken over, the last among them. By default all but
        the first.
      epsilon: added to the variance; it may be an array, also a traced one.
      dtype: dtype of the result; by default what `x`, `scale` and `bias` promote to.
      axis_name: mapped axis over which the statistics are averaged as well.
      axis_index_groups: groups of indices of that axis to average within.
      use_fast_variance: as in `layer_norm`.
      force_float32_reductions: take statistics in float32 at least.

    Raises:
      ValueError: if both or none of the two sizes are given, if the groups do not come out even,
        or if the last axis is not reduced.

    Reference:
      Wu, He, "Group Normalization".
    """
    given = as_array(x)
    x, same = finite_under(given, mask)
    size = channels_per_group(x.shape[-1] if x.ndim else 0, num_groups, group_size)
    if reduction_axes is None:
        axes = tuple(range(1, x.ndim))
    else:
        axes = canonical_axes(x.ndim, reduction_axes)
    if x.ndim - 1 not in axes:
        raise ValueError(
            "The reduction axes must include the final dimension, which holds the channels that "
            f"are grouped; got reduction_axes={reduction_axes!r} for an input of shape {x.shape}."
        )
    grouped = (*x.shape[:-1], x.shape[-1] // size, size)
    if mask is not None:
        mask = lax.reshape(jnp.broadcast_to(mask, x.shape), grouped)
    mean, second, about_zero = moments(
        lax.reshape(x, grouped),
        mask,
        (*(a for a in axes if a != x.ndim - 1), x.ndim),
        dtype=stat_dtype(x, dtype, force_float32_reductions),
        axis_name=axis_name,
        axis_index_groups=axis_index_groups,
        use_mean=True,
        use_fast_variance=use_fast_variance,
    )
    setting, varied = apart(epsilon)
    y = normalize(
        x,
        mean,
        second,
        scale,
        bias,
        varied,
        axes=tuple(a for a in axes if a != x.ndim - 1),
        feature_axes=(x.ndim - 1,),
        epsilon=setting,
        dtype=result_dtype(x, scale, bias, dtype),
        about_zero=about_zero,
        group_size=size,
    )
    return restored(y, given, same)


def channels_per_group(channels: int, num_groups: int | None, group_size: int | None) -> int:
    """Return how many channels a group holds, given the number of groups or just that.

    Raises:
      ValueError: if both or none are given, or the groups do not come out even.
    """
    if (num_groups is None) == (group_size is None):
        raise ValueError(
            "Either `num_groups` or `group_size` should be specified, and None for the other. "
            f"Found {num_groups} and {group_size}; num_groups is 32 unless set to None."
        )
    if group_size is not None:
        if group_size <= 0 or channels % group_size:
            raise ValueError(
                f"Number of channels ({channels}) is not multiple of the group size ({group_size})."
            )
        return group_size
    assert num_groups is not None
    if num_groups <= 0 or channels % num_groups or not channels:
        raise ValueError(
            f"Number of groups ({num_groups}) does not divide the number of channels ({channels})."
        )
    return channels // num_groups


@laid_out(_batch_sources)
@eager_compiled(static_argnames=("axis", "epsilon", "dtype"))
def batch_norm(
    x: Array,
    mean: Array,
    var: Array,
    scale: Array | None = None,
    bias: Array | None = None,
    *,
    axis: Axes = -1,
    epsilon: float | Array = 1e-5,
    dtype: Dtype | None = None,
) -> Array:
    """Normalise by statistics that are given: batch norm at evaluation.

    ``x: [..., features] -> [..., features]``, ``mean, var, scale, bias: [features]``.

    Args:
      x: the input.
      mean: running mean.
      var: running variance.
      scale: factor per feature.
      bias: offset per feature.
      axis: the feature axis, or axes.
      epsilon: added to the variance; it may be an array, also a traced one.
      dtype: dtype of the result; by default what `x`, `scale` and `bias` promote to.
    """
    x = as_array(x)
    features = canonical_axes(x.ndim, axis)
    setting, varied = apart(epsilon)
    return normalize(
        x,
        mean,
        var,
        scale,
        bias,
        varied,
        axes=tuple(a for a in range(x.ndim) if a not in features),
        feature_axes=features,
        epsilon=setting,
        dtype=result_dtype(x, scale, bias, dtype),
        about_zero=False,
    )


@laid_out(_batch_sources)
@eager_compiled(static_argnames=(*_STATISTICS, "axis", "momentum"))
def batch_norm_update(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    scale: Array | None = None,
    bias: Array | None = None,
    mask: Array | None = None,
    *,
    axis: Axes = -1,
    momentum: float | Array = 0.99,
    epsilon: float | Array = 1e-5,
    dtype: Dtype | None = None,
    axis_name: Any = None,
    axis_index_groups: Any = None,
    use_fast_variance: bool = True,
    force_float32_reductions: bool = True,
) -> tuple[Array, Array | None, Array | None]:
    """Normalise by the statistics of the batch, and move the running ones: batch norm in training.

    ``x: [..., features] -> [..., features]``, all else ``[features]``.

    Args:
      x: the input.
      running_mean: running mean so far; None to leave it alone, as initialisation does.
      running_var: running variance so far, or None.
      scale: factor per feature.
      bias: offset per feature.
      mask: which entries count for the statistics; broadcastable to `x`. What is no finite number
        under it stays what it is and has no effect on others.
      axis: the feature axis, or axes.
      momentum: weight of the old running statistics; the batch has the rest. It may be an array.
      epsilon: added to the variance; it may be an array, also a traced one.
      dtype: dtype of the result; by default what `x`, `scale` and `bias` promote to.
      axis_name: mapped axis over which the statistics are averaged as well.
      axis_index_groups: groups of indices of that axis to average within.
      use_fast_variance: as in `layer_norm`.
      force_float32_reductions: take statistics in float32 at least.

    Returns:
      The normalised array, the new running mean and the new running variance. Where no entry
      counts they stay as they were.

    Reference:
      Ioffe, Szegedy, "Batch Normalization".
    """
    given = as_array(x)
    x, same = finite_under(given, mask)
    features = canonical_axes(x.ndim, axis)
    axes = tuple(a for a in range(x.ndim) if a not in features)
    mean, second, about_zero = moments(
        x,
        mask,
        axes,
        dtype=stat_dtype(x, dtype, force_float32_reductions),
        axis_name=axis_name,
        axis_index_groups=axis_index_groups,
        use_mean=True,
        use_fast_variance=use_fast_variance,
    )
    epsilon, varied_epsilon = apart(epsilon)
    momentum, varied_momentum = apart(momentum)
    y, new_mean, new_var = normalize_and_update(
        x,
        mean,
        second,
        running_mean,
        running_var,
        scale,
        bias,
        counted(mask, x.shape, axes, axis_name, axis_index_groups),
        varied_epsilon,
        varied_momentum,
        axes=axes,
        feature_axes=features,
        epsilon=epsilon,
        dtype=result_dtype(x, scale, bias, dtype),
        about_zero=about_zero,
        momentum=momentum,
    )
    return restored(y, given, same), new_mean, new_var


def detached(*statistics: Array) -> tuple[Array, ...]:
    """Return statistics for keeping: no gradient flows from where they are kept to the batch.

    Args:
      *statistics: arrays.
    """
    return tuple(map(lax.stop_gradient, statistics))
