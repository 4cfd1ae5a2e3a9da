"""Pooling over windows of the spatial axes.

Inputs are ``[batch..., spatial..., features]``, with any number of batch axes, none included.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.ops.eager.meshes import laid_out
from ramie.ops.moments import as_array
from ramie.typing import Array

__all__ = ["avg_pool", "max_pool", "min_pool", "pool"]

Padding = str | Sequence[tuple[int, int]]


@laid_out()
def pool(
    inputs: Array,
    init: Any,
    reduce_fn: Callable[[Any, Any], Any],
    window_shape: Sequence[int],
    strides: Sequence[int] | None,
    padding: Padding,
) -> Array:
    """Reduce each window to one value.

    Args:
      inputs: ``[batch..., spatial..., features]``.
      init: the neutral element of `reduce_fn`.
      reduce_fn: an associative function of two values.
      window_shape: size of the window along each spatial axis.
      strides: steps between windows; one by default.
      padding: "SAME", "VALID", "SAME_LOWER", or (low, high) for each spatial axis. What is padded
        is `init`.

    Returns:
      ``[batch..., windows..., features]``.

    Raises:
      ValueError: if the lengths of the arguments do not fit together.

    Differs from Flax: an unfitting argument raises ValueError, not AssertionError.
    """
    window, steps, pads, lead = _geometry(inputs.shape, window_shape, strides, padding)
    # Without a batch axis the rest would be read as spatial by the derivative rules.
    y = lax.expand_dims(inputs, (0,)) if lead == 0 else inputs
    y = lax.reduce_window(y, init, reduce_fn, window, steps, pads)
    return lax.squeeze(y, (0,)) if lead == 0 else y


def _geometry(
    shape: tuple[int, ...],
    window_shape: Sequence[int],
    strides: Sequence[int] | None,
    padding: Padding,
) -> tuple[tuple[int, ...], tuple[int, ...], Padding, int]:
    """Extend the arguments by batch and feature axes, and return the number of batch axes too."""
    spatial = _sizes("window_shape", window_shape)
    steps = (1,) * len(spatial) if strides is None else _sizes("strides", strides)
    lead = len(shape) - len(spatial) - 1
    if lead < 0:
        raise ValueError(
            f"An input of shape {shape} has too few axes for the window {spatial}: besides one "
            "per window size it needs an axis of features."
        )
    if len(steps) != len(spatial):
        raise ValueError(f"strides={steps} must have one entry per axis of the window {spatial}.")
    front = max(lead, 1)
    ones = (1,) * front
    pads: Padding
    if isinstance(padding, str):
        if padding.upper() not in ("SAME", "VALID", "SAME_LOWER"):
            raise ValueError(
                f"padding={padding!r} is none of 'SAME', 'VALID' and 'SAME_LOWER', nor pairs of "
                "(low, high)."
            )
        pads = padding.upper()
    else:
        pads = ((0, 0),) * front + _pairs(padding, spatial) + ((0, 0),)
    return (*ones, *spatial, 1), (*ones, *steps, 1), pads, lead


def _sizes(name: str, value: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(n) for n in value)
    except TypeError:
        raise ValueError(
            f"{name}={value!r} must be a sequence with one integer per spatial axis."
        ) from None


def _pairs(padding: Any, spatial: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    try:
        pairs = tuple((operator.index(low), operator.index(high)) for low, high in padding)
    except (TypeError, ValueError):
        raise ValueError(
            f"padding={padding!r} must be a mode or a sequence of pairs (low, high) of integers."
        ) from None
    if len(pairs) != len(spatial):
        raise ValueError(
            f"padding {pairs} must specify pads for same number of dims as window_shape {spatial}: "
            "one pair per axis."
        )
    return pairs


def avg_pool(
    inputs: Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
    count_include_pad: bool = True,
) -> Array:
    """Average over windows. Values of 16 bits are added up in float32.

    Args:
      inputs: ``[batch..., spatial..., features]``.
      window_shape: size of the window along each spatial axis.
      strides: steps between windows; one by default.
      padding: as in `pool`.
      count_include_pad: whether padded places count in the denominator.

    Returns:
      ``[batch..., windows..., features]``.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.arange(4.0)[:, None]
      >>> avg_pool(x, (2,), strides=(2,))[:, 0].tolist()
      [0.5, 2.5]
    """
    inputs = as_array(inputs)
    given = inputs.dtype
    is_narrow = jnp.issubdtype(given, jnp.floating) and given.itemsize < 4
    if is_narrow:
        inputs = lax.convert_element_type(inputs, np.float32)
    total = pool(inputs, np.zeros((), inputs.dtype), lax.add, window_shape, strides, padding)
    if count_include_pad:
        size = functools.reduce(operator.mul, _sizes("window_shape", window_shape), 1)
        # A Python number takes on the dtype of floats, and makes floats of integers.
        kind = total.dtype if jnp.issubdtype(total.dtype, jnp.inexact) else jnp.result_type(float)
        mean = lax.div(lax.convert_element_type(total, kind), np.asarray(size, kind))
        return lax.convert_element_type(mean, given) if is_narrow else mean
    window, steps, pads, lead = _geometry(inputs.shape, window_shape, strides, padding)
    counts = _places_in_window(inputs.shape, window, steps, pads, lead)
    common = jnp.promote_types(total.dtype, counts.dtype)
    return lax.div(lax.convert_element_type(total, common), counts.astype(common))


@functools.lru_cache(maxsize=256)
def _places_in_window(
    shape: tuple[int, ...],
    window: tuple[int, ...],
    steps: tuple[int, ...],
    padding: Any,
    lead: int,
) -> np.ndarray[Any, Any]:
    """Count, for each window, the places that are not padding. It depends on shapes alone."""
    front = max(lead, 1)
    sizes = shape[lead:-1]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(sizes, window[front:-1], steps[front:-1], padding)
    else:
        padding = padding[front:-1]
    counts = np.ones((), np.float32)
    for size, extent, step, (low, high) in zip(
        sizes, window[front:-1], steps[front:-1], padding, strict=True
    ):
        starts = np.arange(0, size + low + high - extent + 1, step) - low
        inside = np.minimum(starts + extent, size) - np.maximum(starts, 0)
        counts = counts[..., None] * np.maximum(inside, 0).astype(np.float32)
    return counts.reshape((1,) * lead + counts.shape + (1,))


def max_pool(
    inputs: Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Array:
    """Take the largest entry of each window.

    Args:
      inputs: ``[batch..., spatial..., features]``.
      window_shape: size of the window along each spatial axis.
      strides: steps between windows; one by default.
      padding: as in `pool`; padded places never win.

    Returns:
      ``[batch..., windows..., features]``.
    """
    inputs = as_array(inputs)
    return pool(inputs, _extreme(inputs.dtype, -1), lax.max, window_shape, strides, padding)


def min_pool(
    inputs: Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Array:
    """Take the smallest entry of each window.

    Args:
      inputs: ``[batch..., spatial..., features]``.
      window_shape: size of the window along each spatial axis.
      strides: steps between windows; one by default.
      padding: as in `pool`; padded places never win.

    Returns:
      ``[batch..., windows..., features]``.
    """
    inputs = as_array(inputs)
    return pool(inputs, _extreme(inputs.dtype, 1), lax.min, window_shape, strides, padding)


def _extreme(dtype: Any, sign: int) -> Any:
    """Return the value no entry of a dtype lies beyond, below (-1) or above (1)."""
    if jnp.issubdtype(dtype, jnp.integer):
        limits = jnp.iinfo(dtype)
        return np.asarray(limits.min if sign < 0 else limits.max, dtype)
    if dtype == np.bool_:
        return np.asarray(sign > 0)
    return np.asarray(sign * np.inf, dtype)
