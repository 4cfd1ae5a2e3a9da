"""Two records of the same example, number by number."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray[Any, Any]]


def _distance(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    if one.shape != other.shape or one.dtype != other.dtype:
        return float("inf")
    if one.dtype.kind not in "biufc":
        return 0.0 if np.array_equal(one, other) else float("inf")
    if np.array_equal(one, other, equal_nan=True):
        return 0.0
    if not np.array_equal(np.isnan(one), np.isnan(other)):
        return float("inf")
    kind = complex if one.dtype.kind == "c" else float
    return float(np.nanmax(np.abs(one.astype(kind) - other.astype(kind))))


def largest(one: Arrays, other: Arrays, prefix: str) -> float | None:
    """Return the largest difference of all arrays below `prefix`, None where there are none.

    Arrays that only one side has, or with another shape or type, are infinitely far apart.
    """
    names = {name for name in [*one, *other] if name.startswith(prefix)}
    if not names:
        return None
    return max(
        _distance(one[name], other[name]) if name in one and name in other else float("inf")
        for name in names
    )


def count(arrays: Arrays, prefix: str) -> int:
    """Return how many steps, or arrays, there are below `prefix`."""
    return len({name.split("/")[1] for name in arrays if name.startswith(prefix)})


def finite(arrays: Arrays) -> bool:
    """Return whether all numbers are finite; NaN equals NaN, which shows little."""
    return all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind in "fc")
