"""Moments of arrays and the affine map that uses them: the computation all norms share.

Eagerly each of the two is one program without fusion, which keeps the bits of the single
operations. Together in one program they would not: XLA then hands a reduction, with the
multiplications and additions around it, to a library that rounds them once.
"""

import functools
import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.foundation.configurations import config
from ramie.ops.dtypes import canonicalize_dtype
from ramie.ops.eager.dispatch import PROVEN_DTYPES, eager_compiled
from ramie.ops.eager.proofs import numbers
from ramie.typing import Array, Axes, Dtype

__all__ = [
    "alike",
    "apart",
    "as_array",
    "canonical_axes",
    "cast",
    "counted",
    "expand",
    "finite_under",
    "fitted",
    "moments",
    "normalize",
    "normalize_and_update",
    "restored",
    "result_dtype",
    "stat_dtype",
]


def canonical_axes(ndim: int, axes: Axes) -> tuple[int, ...]:
    """Return `axes` counted from the front, sorted, each once.

    Args:
      ndim: rank of the array they belong to.
      axes: one axis or several; negative ones count from the back.

    Raises:
      ValueError: if an axis lies outside the array, or is no integer.
    """
    if axes == -1 and ndim > 0:
        return (ndim - 1,)
    try:
        wanted = (axes,) if isinstance(axes, int) else tuple(map(operator.index, axes))
    except TypeError:
        raise ValueError(
            f"axes={axes!r} is neither an integer nor a sequence of integers."
        ) from None
    for axis in wanted:
        if not -ndim <= axis < ndim:
            raise ValueError(
                f"Axis {axis} does not exist in an array of rank {ndim}; choose from {-ndim} to "
                f"{ndim - 1}."
            )
    return tuple(sorted({axis % ndim for axis in wanted}))


# --- moments --------------------------------------------------------------------------------------


def as_array(x: Any) -> Array:
    """Return `x` as an array of a definite dtype: weak types would leak into the result."""
    if not isinstance(x, jax.Array):
        x = jnp.asarray(x)
    return lax.convert_element_type(x, x.dtype) if x.weak_type else x


_PLAIN = (int, float, np.number)
_FLOAT32 = np.dtype("float32")
_WIDE = frozenset((_FLOAT32, np.dtype("float64")))


def result_dtype(x: Array, scale: Array | None, bias: Array | None, dtype: Dtype | None) -> Any:
    """Return the dtype of a norm's result: `dtype`, or what its arrays promote to."""
    if (
        dtype is None
        and x.dtype == _FLOAT32
        and (scale is None or scale.dtype == _FLOAT32)
        and (bias is None or bias.dtype == _FLOAT32)
    ):
        return _FLOAT32
    return np.dtype(canonicalize_dtype(x, scale, bias, dtype=dtype))


def stat_dtype(x: Array, dtype: Dtype | None, force_float32: bool) -> np.dtype[Any]:
    """Return the dtype in which statistics of `x` are taken."""
    found = x.dtype if dtype is None else np.dtype(dtype)
    if found == _FLOAT32:
        return _FLOAT32
    if force_float32 or not jnp.issubdtype(found, jnp.inexact):
        found = jnp.promote_types(found, jnp.float32)
    return found


def cast(x: Array, dtype: Any) -> Array:
    """Convert `x` unless it has that dtype; of complex numbers a real dtype keeps the real part."""
    if x.dtype == dtype:
        return x
    if jnp.issubdtype(x.dtype, jnp.complexfloating) and not jnp.issubdtype(
        dtype, jnp.complexfloating
    ):
        x = lax.real(x)
    return lax.convert_element_type(x, dtype)


def alike(a: Array, b: Array) -> tuple[Array, Array]:
    """Bring two arrays to the dtype JAX promotes them to."""
    if a.dtype == b.dtype:
        return a, b
    common = jnp.promote_types(a.dtype, b.dtype)
    return cast(a, common), cast(b, common)


def apart(number: Any) -> tuple[Any, Array | None]:
    """Return a setting as configuration and as an array, of which one is None.

    Args:
      number: a number of Python or NumPy, or an array, which may be traced.
    """
    return (number, None) if isinstance(number, _PLAIN) else (None, jnp.asarray(number))


def fitted(number: Any, x: Array) -> Any:
    """Return a setting so that it combines with `x`: in its dtype, and an array in its shape.

    Args:
      number: as for `apart`.
      x: an array.
    """
    if isinstance(number, _PLAIN):
        return np.asarray(number, x.dtype)
    return jnp.broadcast_to(cast(jnp.asarray(number), x.dtype), x.shape)


def _magnitude_squared(x: Array) -> Array:
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        return lax.add(lax.square(lax.real(x)), lax.square(lax.imag(x)))
    return lax.square(x)


def _kept(mask: Array, shape: tuple[int, ...]) -> Array:
    kept = mask if mask.dtype == np.bool_ else lax.ne(mask, np.zeros((), mask.dtype))
    return jnp.broadcast_to(kept, shape)


def finite_under(x: Array, mask: Array | None) -> tuple[Array, Array | None]:
    """Put zeros where `x` is no finite number and does not count.

    Such entries would make gradients of all others NaN, though no result depends on them.

    Args:
      x: an array.
      mask: which entries count; broadcastable to `x`. None if all do.

    Returns:
      The array, and where it is unchanged; None if it is everywhere. See `restored`.
    """
    if mask is None or not jnp.issubdtype(x.dtype, jnp.inexact):
        return x, None
    same = lax.bitwise_or(_kept(jnp.asarray(mask), x.shape), jnp.isfinite(x))
    return lax.select(same, x, lax.full_like(x, 0)), same


def restored(y: Array, x: Array, same: Array | None) -> Array:
    """Put entries that are no finite numbers back, which `finite_under` replaced.

    Args:
      y: what was made of the array.
      x: the array as it was.
      same: where it was left alone.
    """
    return y if same is None else lax.select(same, y, cast(lax.stop_gradient(x), y.dtype))


def _share(mask: Array, shape: tuple[int, ...], axes: tuple[int, ...], dtype: Any) -> Array:
    """Return how many entries count in each moment."""
    real = jnp.finfo(dtype).dtype
    return lax.reduce_sum(lax.convert_element_type(_kept(mask, shape), real), axes)


def counted(
    mask: Array | None,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    axis_name: Any = None,
    axis_index_groups: Any = None,
) -> Array | None:
    """Tell in which moments any entry counts; None if that is so in all.

    Args:
      mask: which entries count; broadcastable to `shape`. None if all do.
      shape: the shape of the array.
      axes: the axes over which moments are taken.
      axis_name: mapped axis over which they are averaged as well.
      axis_index_groups: groups of indices of that axis to average within.

    Returns:
      Booleans in the shape of a moment.
    """
    if mask is None:
        if 0 not in shape or all(shape[a] for a in axes):
            return None
        return lax.full(tuple(n for a, n in enumerate(shape) if a not in axes), False)
    counts = _share(jnp.asarray(mask), shape, axes, np.float32)
    if axis_name is not None:
        counts = lax.psum(counts, axis_name, axis_index_groups=axis_index_groups)
    return lax.gt(counts, np.zeros((), counts.dtype))


def _mean_over(x: Array, mask: Array | None, axes: tuple[int, ...]) -> Array:
    """Average over `axes`; half-precision sums are accumulated in float32. Of nothing it is 0."""
    wide = jnp.promote_types(x.dtype, jnp.float32) if x.dtype.itemsize < 4 else x.dtype
    if mask is None:
        size = np.prod([x.shape[a] for a in axes], dtype=np.int64)
        count: Any = np.asarray(max(size, 1), wide)
        total = lax.reduce_sum(cast(x, wide), axes)
    else:
        share = _share(mask, x.shape, axes, wide)
        count = cast(lax.max(share, np.ones((), share.dtype)), wide)
        kept = _kept(mask, x.shape)
        total = lax.reduce_sum(cast(lax.select(kept, x, lax.full_like(x, 0)), wide), axes)
    return cast(lax.div(total, count), x.dtype)


def _moments_proven(x: Array, mask: Array | None, *, axes: tuple[int, ...], **_: Any) -> bool:
    # A single mean is divided by its count as a scalar, and XLA multiplies by 1/count there. In
    # half precision XLA drops roundings between operations.
    kept = [n for axis, n in enumerate(x.shape) if axis not in axes]
    return mask is None and x.dtype in _WIDE and math.prod(kept) > 1


def _moments_sample(dtype: Any) -> Any:
    return (numbers((3, 4, 7), dtype), None), {"axes": (1, 2), "first": True, "second": True}


@eager_compiled(
    static_argnames=("axes", "first", "second"),
    sample=_moments_sample,
    proven=_moments_proven,
    fused=False,
)
def _raw_moments(
    x: Array, mask: Array | None, *, axes: tuple[int, ...], first: bool, second: bool
) -> tuple[Array | None, Array | None]:
    """Return the means of x and of its squared magnitude, each where asked for."""
    squares = _magnitude_squared(x) if second else None
    mean = _mean_over(x, mask, axes) if first else None
    return mean, None if squares is None else _mean_over(squares, mask, axes)


def _deviation_sample(dtype: Any) -> Any:
    return (numbers((3, 4, 7), dtype), numbers((3,), dtype, 90)), {"axes": (1, 2)}


@eager_compiled(
    static_argnames=("axes",),
    sample=_deviation_sample,
    proven=lambda x, mean, **_: x.dtype in _WIDE,
    fused=False,
)
def _squared_deviation(x: Array, mean: Array, *, axes: tuple[int, ...]) -> Array:
    return _magnitude_squared(lax.sub(x, expand(mean, x.ndim, axes)))


def expand(stat: Array, ndim: int, axes: tuple[int, ...]) -> Array:
    """Give a statistic its reduced axes back, with size one."""
    if stat.ndim == ndim:
        return stat
    kept = tuple(axis for axis in range(ndim) if axis not in axes)
    shape = [1] * ndim
    for axis, size in zip(kept, stat.shape, strict=True):
        shape[axis] = size
    return lax.broadcast_in_dim(stat, shape, kept)


def _averaging(axis_name: Any, axis_index_groups: Any, share: Array | None) -> Any:
    """Return a function that averages statistics over a mapped axis.

    Args:
      axis_name: the axis.
      axis_index_groups: groups of its indices to average within.
      share: of how many entries the statistics here are; None if all parts have as many.
    """
    average = functools.partial(lax.pmean, axis_name=axis_name, axis_index_groups=axis_index_groups)
    if share is None:
        return average
    # Where all parts count as many entries this is one, exactly.
    weight = lax.div(share, jnp.maximum(average(share), jnp.finfo(share.dtype).tiny))

    def weighted(stats: tuple[Array | None, ...]) -> Any:
        return average(tuple(None if a is None else lax.mul(*alike(a, weight)) for a in stats))

    return weighted


def _one_of_nothing(second: Array, some: Array | None) -> Array:
    """Return a second moment that is 1 where nothing counts: such entries keep their size."""
    return second if some is None else lax.select(some, second, lax.full_like(second, 1))


def moments(
    x: Array,
    mask: Array | None,
    axes: tuple[int, ...],
    *,
    dtype: Any,
    axis_name: Any,
    axis_index_groups: Any,
    use_mean: bool,
    use_fast_variance: bool,
) -> tuple[Array | None, Array, bool]:
    """Return mean, second moment, and whether the latter is still about zero.

    The subtraction of the squared mean is left to the program that follows, because it must not
    share one with the reductions. It is what loses digits: of a variance ``v`` about a mean ``m``
    in float32 about ``1e-7 * m**2 / v`` of it.
    """
    mask = None if mask is None else jnp.asarray(mask)
    x = cast(x, dtype)  # before the program: XLA would merge it with the reduction
    everywhere: Any = tuple
    if axis_name is not None:
        share = None if mask is None else _share(mask, x.shape, axes, dtype)
        everywhere = _averaging(axis_name, axis_index_groups, share)

    some = None
    if mask is not None:
        some = counted(mask, x.shape, axes, axis_name, axis_index_groups)
    one_pass = use_fast_variance and not config.ramie_exact_variance
    if one_pass or not use_mean:
        mean, second = everywhere(_raw_moments(x, mask, axes=axes, first=use_mean, second=True))
        return mean, _one_of_nothing(second, some), use_mean
    (mean,) = everywhere(_raw_moments(x, mask, axes=axes, first=True, second=False)[:1])
    squares = _squared_deviation(x, mean, axes=axes)
    (variance,) = everywhere(_raw_moments(squares, mask, axes=axes, first=True, second=False)[:1])
    return mean, _one_of_nothing(variance, some), False


def _variance(mean: Array | None, second: Array, about_zero: bool) -> Array:
    """Finish the fast variance. Rounding can make it negative, hence the bound."""
    if not about_zero or mean is None:
        return second
    difference = lax.sub(second, _magnitude_squared(mean))
    return lax.max(np.zeros((), difference.dtype), difference)


# --- the affine map -------------------------------------------------------------------------------


def _affine(
    x: Array,
    mean: Array | None,
    variance: Array,
    scale: Array | None,
    bias: Array | None,
    *,
    axes: tuple[int, ...],
    feature_axes: tuple[int, ...],
    epsilon: Any,
    dtype: Any,
) -> Array:
    """Return ``(x - mean) * (rsqrt(variance + epsilon) * scale) + bias`` in that order."""
    features = [size if axis in feature_axes else 1 for axis, size in enumerate(x.shape)]
    variance = expand(variance, x.ndim, axes)
    factor = lax.rsqrt(lax.add(variance, fitted(epsilon, variance)))
    if scale is not None:
        factor = lax.mul(*alike(factor, lax.reshape(scale, features)))
    y = x if mean is None else lax.sub(*alike(x, expand(mean, x.ndim, axes)))
    y = lax.mul(*alike(y, factor))
    if bias is not None:
        y = lax.add(*alike(y, lax.reshape(bias, features)))
    return cast(y, dtype)


def _normalize_proven(x: Array, mean: Any, second: Array, *others: Array | None, **_: Any) -> bool:
    return second.dtype in _WIDE and all(
        a is None or a.dtype in PROVEN_DTYPES or a.dtype == np.bool_ for a in (x, *others)
    )


_AFFINE_CONFIG = ("axes", "feature_axes", "epsilon", "dtype", "about_zero")


def _affine_sample(dtype: Any) -> tuple[Array, Array, Array, dict[str, Any]]:
    """Return an array of five features, their moments, and settings of `normalize`."""
    wide = jnp.promote_types(dtype, jnp.float32)
    mean = numbers((5,), wide, 40)
    second = lax.add(lax.square(mean), lax.square(numbers((5,), wide, 50)))
    settings = {"axes": (0,), "feature_axes": (1,), "epsilon": 1e-5, "dtype": np.dtype(dtype)}
    return numbers((6, 5), dtype), mean, second, {**settings, "about_zero": True}


def _normalize_sample(dtype: Any) -> Any:
    x, mean, second, settings = _affine_sample(dtype)
    affine = numbers((5,), dtype, 60), numbers((5,), dtype, 70)
    return (x, mean, second, *affine, None), {**settings, "group_size": None}


@eager_compiled(
    static_argnames=(*_AFFINE_CONFIG, "group_size"),
    sample=_normalize_sample,
    proven=_normalize_proven,
    fused=False,
)
def normalize(
    x: Array,
    mean: Array | None,
    second: Array,
    scale: Array | None,
    bias: Array | None,
    array_epsilon: Array | None = None,
    *,
    axes: tuple[int, ...],
    feature_axes: tuple[int, ...],
    epsilon: Any = None,
    dtype: Any,
    about_zero: bool,
    group_size: int | None = None,
) -> Array:
    """Apply moments to `x`: ``(x - mean) * rsqrt(variance + epsilon) * scale + bias``.

    Args:
      x: the array.
      mean: its mean over `axes`; None to subtract nothing.
      second: its variance over `axes`, or its second moment about zero.
      scale: factor, with the sizes of `feature_axes` as its shape.
      bias: offset, of the same shape.
      array_epsilon: added to the variance; None for `epsilon`. See `apart`.
      axes: the axes the moments were taken over.
      feature_axes: the axes along which `scale` and `bias` vary.
      epsilon: a number, added to the variance.
      dtype: dtype of the result.
      about_zero: whether `second` still lacks the subtraction of the squared mean.
      group_size: how many neighbours in the last axis share one moment.
    """
    variance = _variance(mean, second, about_zero)
    if group_size is not None:
        mean = None if mean is None else _repeat_last(mean, group_size)
        variance = _repeat_last(variance, group_size)
    return _affine(
        x,
        mean,
        variance,
        scale,
        bias,
        axes=axes,
        feature_axes=feature_axes,
        epsilon=epsilon if array_epsilon is None else array_epsilon,
        dtype=dtype,
    )


def _repeat_last(stat: Array, times: int) -> Array:
    """Repeat each entry of the last axis `times` times: per group to per channel."""
    spread = lax.broadcast_in_dim(stat, (*stat.shape, times), tuple(range(stat.ndim)))
    return lax.reshape(spread, (*stat.shape[:-1], stat.shape[-1] * times))


def _update_sample(dtype: Any) -> Any:
    x, mean, second, settings = _affine_sample(dtype)
    running = numbers((5,), mean.dtype, 80), numbers((5,), mean.dtype, 90)
    affine = numbers((5,), dtype, 60), numbers((5,), dtype, 70)
    arrays = (x, mean, second, *running, *affine, None, None, None)
    return arrays, {**settings, "momentum": 0.93}


@eager_compiled(
    static_argnames=(*_AFFINE_CONFIG, "momentum"),
    sample=_update_sample,
    proven=_normalize_proven,
    fused=False,
)
def normalize_and_update(
    x: Array,
    mean: Array,
    second: Array,
    running_mean: Array | None,
    running_var: Array | None,
    scale: Array | None,
    bias: Array | None,
    counts: Array | None = None,
    array_epsilon: Array | None = None,
    array_momentum: Array | None = None,
    *,
    axes: tuple[int, ...],
    feature_axes: tuple[int, ...],
    epsilon: Any = None,
    dtype: Any,
    about_zero: bool,
    momentum: Any = None,
) -> tuple[Array, Array | None, Array | None]:
    """Apply moments as `normalize` does, and mix them into running ones.

    Arrays and settings are those of `normalize`, and besides `counts`, in which moments any entry
    counts (see `counted`), and `momentum`, as a number or as an array.

    Returns:
      The normalised array; ``momentum * running + (1 - momentum) * moment`` for mean and variance,
      or None where nothing runs. Where nothing counts they stay.
    """
    variance = _variance(mean, second, about_zero)
    weight = momentum if array_momentum is None else array_momentum

    def mixed(running: Array | None, batch: Array) -> Array | None:
        if running is None:
            return None
        kept = lax.mul(fitted(weight, running), running)
        moved = lax.add(*alike(kept, lax.mul(fitted(1 - weight, batch), batch)))
        return moved if counts is None else lax.select(counts, *alike(moved, running))

    new_mean, new_var = mixed(running_mean, mean), mixed(running_var, variance)
    y = _affine(
        x,
        mean,
        variance,
        scale,
        bias,
        axes=axes,
        feature_axes=feature_axes,
        epsilon=epsilon if array_epsilon is None else array_epsilon,
        dtype=dtype,
    )
    return y, new_mean, new_var
