"""Matching: what was saved against what it is restored into, all differences at once."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from ramie.errors import CheckpointMismatchError
from ramie.serialization.state_dict import from_state_dict, to_state_dict

__all__ = ["find_differences", "restore_into"]

T = TypeVar("T")


def restore_into(target: T, state: Any, source: str, *, strict: bool = True) -> T:
    """Return a copy of a target with the values of a state dict, if they fit.

    Args:
      target: a tree; None for the state dict itself. An array in it, or a `jax.ShapeDtypeStruct`,
        demands an array of its shape and dtype.
      state: what was read.
      source: the file it was read from, for error messages.
      strict: whether arrays of another shape or dtype are refused.

    Raises:
      CheckpointMismatchError: if the structure, a shape or a dtype differs; lists all differences.
    """
    try:
        restored = from_state_dict(target, state)
    except ValueError as error:
        differences = find_differences(to_state_dict(target), state)
        if not any(differences.values()):
            raise  # the function registered for some type has other wishes, and says them
        raise CheckpointMismatchError(source, **differences) from error
    if target is None or not strict:
        return restored
    differences = find_differences(to_state_dict(target), state)
    # Entries that the target lacks are left in the file, as `from_state_dict` says.
    if differences["shapes"] or differences["dtypes"] or differences["kinds"]:
        raise CheckpointMismatchError(source, **{**differences, "missing": [], "extra": []})
    return restored


def find_differences(wanted: Any, found: Any) -> dict[str, list[str]]:
    """Compare two state dicts.

    Args:
      wanted: the state dict of the target.
      found: the one that was read.

    Returns:
      Lists of lines: paths that are "missing" or "extra" in what was found, and paths with what
      was wanted and found under "shapes", "dtypes" and "kinds" (a container against a leaf).
    """
    differences: dict[str, list[str]] = {
        kind: [] for kind in ("missing", "extra", "shapes", "dtypes", "kinds")
    }
    for kind, line in _compare(wanted, found, "."):
        differences[kind].append(line)
    return differences


def _compare(wanted: Any, found: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key, value in wanted.items():
            if key not in found:
                yield "missing", f"{path}/{key}"
            elif not _are_alike(value, found[key]):
                yield from _compare(value, found[key], f"{path}/{key}")
        for key in found:
            if key not in wanted:
                yield "extra", f"{path}/{key}"
    elif isinstance(wanted, Mapping) or isinstance(found, Mapping):
        # An empty container and None are leaves without a value: a target may hold either.
        if not _is_empty(wanted):
            yield "kinds", f"{path}: {_describe(wanted)} wanted, {_describe(found)} found"
    else:
        yield from _compare_leaves(wanted, found, path)


def _are_alike(wanted: Any, found: Any) -> bool:
    """Tell of arrays, of which there may be very many, whether there is nothing to say."""
    return (
        type(found) is np.ndarray
        and isinstance(wanted, (np.ndarray, jax.Array, jax.ShapeDtypeStruct))
        and wanted.shape == found.shape
        and wanted.dtype == found.dtype
    )


def _compare_leaves(wanted: Any, found: Any, path: str) -> Iterator[tuple[str, str]]:
    if not (hasattr(wanted, "shape") and hasattr(wanted, "dtype")):
        return
    if not isinstance(found, (bool, int, float, complex)) and not hasattr(found, "dtype"):
        if found is not None:
            yield "kinds", f"{path}: {_describe(wanted)} wanted, {_describe(found)} found"
        return
    shape = tuple(getattr(found, "shape", ()))
    if tuple(wanted.shape) != shape:
        yield "shapes", f"{path}: {tuple(wanted.shape)} wanted, {shape} found"
    if hasattr(found, "dtype") and wanted.dtype != found.dtype:
        yield "dtypes", f"{path}: {wanted.dtype} wanted, {found.dtype} found"


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping) and not value)


def _describe(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a container of {len(value)}"
    if isinstance(value, np.ndarray) or hasattr(value, "shape"):
        return f"an array {value.dtype}{list(value.shape)}"
    return f"a value of type {type(value).__name__}"
