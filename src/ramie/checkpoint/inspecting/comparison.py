"""Comparison: the numbers of two checkpoints side by side, array by array."""

import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ramie.checkpoint.formats.leaf import Leaf, read_array
from ramie.checkpoint.inspecting.contents import outline
from ramie.checkpoint.inspecting.numbers import SLICE, Statistics, number_kind, statistics_of

__all__ = ["Compared", "compare"]

Progress = Callable[[str, int, int], None]


class Compared(NamedTuple):
    """The numbers of an array in two checkpoints.

    Attributes:
      path: the keys that lead to it.
      first: what they are like in the first; None if it has no such array of numbers.
      second: what they are like in the second.
      change: the norm of the difference over the norm of the first, over all elements that are
        finite in both; None unless both have the same shape.
    """

    path: tuple[str, ...]
    first: Statistics | None
    second: Statistics | None
    change: float | None


def compare(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    *,
    separator: str | None = ".",
    progress: Progress | None = None,
) -> list[Compared]:
    """Compare the numbers of two checkpoints, whatever their formats and dtypes.

    Where `diff` says whether two are the same, this says how far training has moved each array.
    One pair of arrays is in memory at a time. Arrays of complex numbers and PRNG keys are left out.

    Args:
      first: a msgpack or safetensors file, an index, or an Orbax directory.
      second: another.
      separator: where the names in safetensors files are taken apart; None not to.
      progress: is called with what is read, how many bytes are done, and how many there are.

    Returns:
      One entry for each path, in the order of the first, then what only the second has.

    Raises:
      CheckpointNotFoundError: if there is nothing at a path.
      MalformedDataError: if one is damaged, as far as that shows; a ValueError.

    Example:
      >>> import tempfile, numpy as np
      >>> from ramie import checkpoint
      >>> with tempfile.TemporaryDirectory() as directory:
      ...   one = checkpoint.save(directory, {"w": np.array([3.0, 4.0])}, 1, keep=0)
      ...   two = checkpoint.save(directory, {"w": np.array([3.0, 4.5])}, 2, keep=0)
      ...   [(found.path, found.first.norm, found.change) for found in checkpoint.compare(one, two)]
      [(('w',), 5.0, 0.1)]
    """
    sides = [_numbers(first, separator), _numbers(second, separator)]
    total = sum(leaf.nbytes for side in sides for leaf in side.values())
    done = 0
    found = []
    for path in dict.fromkeys([*sides[0], *sides[1]]):
        if progress:
            progress("/".join(path), done, total)
        leaves = [side.get(path) for side in sides]
        one, two = (None if leaf is None else read_array(leaf) for leaf in leaves)
        statistics = [None if array is None else statistics_of(array) for array in (one, two)]
        alike = one is not None and two is not None and one.shape == two.shape
        change = _change(one, two) if alike else None
        found.append(Compared(path, statistics[0], statistics[1], change))
        done += sum(leaf.nbytes for leaf in leaves if leaf)
    if progress:
        progress("", total, total)
    return found


def _numbers(path: str | os.PathLike[str], separator: str | None) -> dict[tuple[str, ...], Leaf]:
    return {
        leaf.path: leaf
        for leaf in outline(path, separator=separator).leaves
        if leaf.dtype is not None
        and leaf.note in ("", "scalar")
        and number_kind(leaf.dtype) in ("integer", "real")
    }


@np.errstate(over="ignore", invalid="ignore")
def _change(one: Any, two: Any) -> float:
    one, two = one.reshape(-1), two.reshape(-1)
    norm = apart = 0.0
    for start in range(0, one.size, SLICE):
        first = one[start : start + SLICE].astype(np.float64)
        second = two[start : start + SLICE].astype(np.float64)
        if not math.isfinite(first.sum() + second.sum()):
            finite = np.isfinite(first) & np.isfinite(second)
            first, second = first[finite], second[finite]
        norm = math.hypot(norm, float(np.linalg.norm(first)))
        apart = math.hypot(apart, float(np.linalg.norm(second - first)))
    if not norm:
        return math.inf if apart else 0.0
    return apart / norm
