"""Numbers: which dtypes hold some, what those of an array are like, and how far two are apart.

The dtypes of ml_dtypes are of NumPy's kinds "V" and "W", as bytes without a meaning are; the type
of their items tells them apart.
"""

import math
from typing import Any, Literal, NamedTuple

import numpy as np

__all__ = ["SLICE", "Statistics", "distances", "number_kind", "patterns", "statistics_of"]

SLICE = 1 << 20
"""How many elements are looked at together; memory for their float64s is enough."""

_X87_BYTES, _X87_BITS = 10, 63

Array = np.ndarray[Any, Any]
NumberKind = Literal["integer", "real", "complex"]


def number_kind(dtype: np.dtype[Any]) -> NumberKind | None:
    """Tell what numbers a dtype holds; None if it holds dates, text or bytes.

    Example:
      >>> import ml_dtypes, numpy as np
      >>> [number_kind(np.dtype(name)) for name in ("bool", "int4", "bfloat16", "complex64", "V2")]
      ['integer', 'integer', 'real', 'complex', None]
    """
    if dtype.kind in "biu":
        return "integer"
    if dtype.kind not in "fcVW" or issubclass(dtype.type, np.void):
        return None
    if "complex" in dtype.name:
        return "complex"
    return "integer" if dtype.name.startswith(("int", "uint")) else "real"


def patterns(array: Array) -> Array:
    """Return the bytes of each element of an array as a row, without those that mean nothing.

    Args:
      array: in C order.

    Returns:
      Of shape (size, bytes); a view where possible.
    """
    item = array.dtype.itemsize
    rows = array.reshape(-1).view(np.uint8).reshape(array.size, item)
    if array.dtype.kind in "fc" and array.dtype in (np.longdouble, np.clongdouble):
        real = np.dtype(np.longdouble).itemsize
        if np.finfo(np.longdouble).nmant == _X87_BITS and real > _X87_BYTES:
            # Ten bytes of sixteen are the number, the others are whatever was in memory.
            parts = rows.reshape(array.size, item // real, real)[:, :, :_X87_BYTES]
            return parts.reshape(array.size, item // real * _X87_BYTES)
    if array.dtype.kind == "V" and number_kind(array.dtype) == "integer":
        # Of the byte that holds an int4, or one still smaller, only the lowest bits count.
        return rows & (2 ** int(array.dtype.name.lstrip("uint")) - 1)
    return rows


@np.errstate(over="ignore", invalid="ignore")
def distances(one: Array, two: Array) -> Array:
    """Return absolute differences; 0 between unlike NaNs, infinity between NaN and a number.

    Those of integers are exact before they become float64.

    Args:
      one: numbers of a dtype that `number_kind` knows; one axis.
      two: numbers of the same dtype, as many.
    """
    kind = number_kind(one.dtype)
    if kind == "integer":
        return _integer_distances(one, two)
    wide: Any = np.complex128 if kind == "complex" else np.float64
    if one.dtype.itemsize > np.dtype(wide).itemsize:
        wide = one.dtype
    one, two = one.astype(wide), two.astype(wide)
    apart = np.abs(one - two)
    apart[np.isnan(apart)] = math.inf
    apart[np.isnan(one) & np.isnan(two)] = 0.0
    apart[one == two] = 0.0
    return apart


def _integer_distances(one: Array, two: Array) -> Array:
    if one.dtype.kind not in "iu":  # booleans, and those of fewer than eight bits
        one, two = one.astype(np.int64), two.astype(np.int64)
    native = one.dtype.newbyteorder("=")
    one, two = one.astype(native, copy=False), two.astype(native, copy=False)
    unsigned = np.dtype(f"u{one.dtype.itemsize}")
    upper, lower = np.maximum(one, two).view(unsigned), np.minimum(one, two).view(unsigned)
    apart: Array = (upper - lower).astype(np.float64)  # exact, also where the signed one overflows
    return apart


class Statistics(NamedTuple):
    """What the numbers of an array are like.

    Attributes:
      minimum, maximum, mean, deviation: of the finite numbers; NaN if there are none. The first
        two are exact integers if the array holds integers.
      zeros: how many are zero.
      not_finite: how many are NaN or infinite.
      nans: how many are NaN.
      norm: the square root of the sum of the squares of the finite numbers.
    """

    minimum: float
    maximum: float
    mean: float
    deviation: float
    zeros: int
    not_finite: int
    nans: int
    norm: float


@np.errstate(over="ignore", invalid="ignore")
def statistics_of(array: Array) -> Statistics:
    """Return what the numbers of an array are like, computed in float64, a part at a time.

    What exceeds float64, such as the deviation of numbers near its end, is infinite or NaN.

    Args:
      array: of a dtype whose numbers have an order: `number_kind` is "integer" or "real".
    """
    flat = array.reshape(-1)
    count, zeros, not_finite, nans, norm = 0, 0, 0, 0, 0.0
    minimum, maximum, mean, squares = math.inf, -math.inf, 0.0, 0.0
    are_integers = number_kind(array.dtype) == "integer"
    for start in range(0, flat.size, SLICE):
        exact = flat[start : start + SLICE]
        part = exact.astype(np.float64)
        finite = part
        # One that is not finite makes the sum so, too, and looking for all of them takes longer.
        if not math.isfinite(part.sum()):
            finite = part[np.isfinite(part)]
            not_finite += part.size - finite.size
            nans += int(np.isnan(part).sum())
        if not finite.size:
            continue
        zeros += finite.size - int(np.count_nonzero(finite))
        norm = math.hypot(norm, float(np.linalg.norm(finite)))
        if are_integers:
            if exact.dtype.kind not in "iu":
                exact = exact.astype(np.int64)
            minimum, maximum = min(minimum, int(exact.min())), max(maximum, int(exact.max()))
        else:
            minimum, maximum = min(minimum, finite.min()), max(maximum, finite.max())
        # Two parts are joined by their means and squared distances from them (Chan et al.).
        own_mean, own_count = float(finite.mean()), finite.size
        apart = own_mean - mean
        away = finite - own_mean
        squares += float(np.dot(away, away))
        squares += apart * apart * count * own_count / (count + own_count)
        mean += apart * own_count / (count + own_count)
        count += own_count
    if not count:
        return Statistics(math.nan, math.nan, math.nan, math.nan, 0, not_finite, nans, 0.0)
    deviation = math.sqrt(squares / count)
    if not are_integers:
        minimum, maximum = float(minimum), float(maximum)
    return Statistics(minimum, maximum, mean, deviation, zeros, not_finite, nans, norm)
