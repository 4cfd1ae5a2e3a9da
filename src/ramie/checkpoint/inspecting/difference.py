"""Difference: two files leaf by leaf, in structure and in numbers."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ramie.checkpoint.formats import safetensors_types as types
from ramie.checkpoint.formats.leaf import Leaf, read_array
from ramie.checkpoint.inspecting import numbers
from ramie.checkpoint.inspecting.contents import outline

__all__ = ["Changed", "Differences", "diff"]


class Changed(NamedTuple):
    """A leaf that both files have, and that differs.

    Attributes:
      path: the keys that lead to it.
      first: what the first file has: dtype and shape, or the value.
      second: what the second has.
      n_different: how many elements differ, for arrays of the same dtype and shape.
      largest: the largest absolute difference of these, if they are numbers; NaN against a number
        counts as infinite.
      mean: the mean absolute difference over all elements.
    """

    path: tuple[str, ...]
    first: str
    second: str
    n_different: int | None = None
    largest: float | None = None
    mean: float | None = None


class Differences(NamedTuple):
    """How two files differ.

    Attributes:
      only_first: the paths that only the first file has.
      only_second: those that only the second has.
      changed: the leaves that both have, and that differ.
      n_same: how many leaves are the same, bit for bit.
    """

    only_first: list[tuple[str, ...]]
    only_second: list[tuple[str, ...]]
    changed: list[Changed]
    n_same: int

    @property
    def same(self) -> bool:
        """Whether the files hold the same tree."""
        return not (self.only_first or self.only_second or self.changed)


def diff(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    *,
    separator: str | None = ".",
    progress: Callable[[str, int, int], None] | None = None,
) -> Differences:
    """Compare two checkpoints, whatever their formats, leaf by leaf.

    Args:
      first: a msgpack or safetensors file, an index, or an Orbax directory.
      second: the other.
      separator: where the names in safetensors files are taken apart; None not to.
      progress: is called with a path, the bytes done and those in all.

    Raises:
      CheckpointNotFoundError: if one is not there.
      MalformedDataError: if one is damaged, as far as that shows.

    Example:
      >>> import tempfile, numpy as np
      >>> from ramie import checkpoint
      >>> with tempfile.TemporaryDirectory() as directory:
      ...   one = checkpoint.save(directory, {"w": np.array([1.0, 2.0])}, 1, keep=2)
      ...   two = checkpoint.save(directory, {"w": np.array([1.0, 2.5])}, 2, keep=2)
      ...   change = checkpoint.diff(one, two).changed[0]
      ...   change.path, change.n_different, change.largest, change.mean
      (('w',), 1, 0.5, 0.25)
    """
    ours = {leaf.path: leaf for leaf in outline(first, separator=separator).leaves}
    theirs = {leaf.path: leaf for leaf in outline(second, separator=separator).leaves}
    changed, same, done = [], 0, 0
    total = sum(ours[path].nbytes for path in ours if path in theirs)
    for path, leaf in ours.items():
        if path not in theirs:
            continue
        if progress:
            progress("/".join(path), done, total)
        change = _compare(leaf, theirs[path])
        if change is None:
            same += 1
        else:
            changed.append(change)
        done += leaf.nbytes
    if progress:
        progress("", total, total)
    return Differences(
        [path for path in ours if path not in theirs],
        [path for path in theirs if path not in ours],
        changed,
        same,
    )


def _compare(ours: Leaf, theirs: Leaf) -> Changed | None:
    first, second = _text(ours), _text(theirs)
    if not (ours.is_array and theirs.is_array):
        if not ours.is_array and not theirs.is_array and _same(ours.value, theirs.value):
            return None
        return Changed(ours.path, first, second)
    if (first, ours.dtype, _key(ours)) != (second, theirs.dtype, _key(theirs)):
        return Changed(ours.path, first, second)
    if ours.unread:  # its bytes can be compared all the same
        same = np.array_equal(read_array(types.raw(ours)), read_array(types.raw(theirs)))
        return None if same else Changed(ours.path, first, second)
    return _compare_arrays(ours.path, first, read_array(ours), read_array(theirs))


def _key(leaf: Leaf) -> str:
    """Return the generator of PRNG keys; whether a number is an array or a scalar is no matter."""
    return "" if leaf.note == "scalar" else leaf.note


def _same(one: Any, two: Any) -> bool:
    if type(one) is not type(two):
        return False
    # That of numbers tells 0.0 from -0.0, as the bits do, and not NaN from NaN.
    return repr(one) == repr(two) if isinstance(one, (float, complex)) else bool(one == two)


def _compare_arrays(
    path: tuple[str, ...], text: str, ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]
) -> Changed | None:
    one, two = ours.reshape(-1), theirs.reshape(-1)
    different, largest, total = 0, 0.0, 0.0
    is_number = numbers.number_kind(one.dtype) is not None
    for start in range(0, one.size, numbers.SLICE):
        here, there = (array[start : start + numbers.SLICE] for array in (one, two))
        unlike = (numbers.patterns(here) != numbers.patterns(there)).any(axis=1)
        if not unlike.any():
            continue
        different += int(unlike.sum())
        if is_number:
            apart = numbers.distances(here[unlike], there[unlike])
            largest = max(largest, float(apart.max()))
            total += float(apart.sum())
    if not different:
        return None
    if not is_number:
        return Changed(path, text, text, different)
    return Changed(path, text, text, different, largest, total / one.size)


def _text(leaf: Leaf) -> str:
    if leaf.is_array:
        return f"{leaf.kind}{list(leaf.shape or ())}"
    text = repr(leaf.value)
    return text if len(text) <= 60 else text[:57] + "..."
