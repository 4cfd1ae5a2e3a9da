"""Subtrees: the leaves below a path, and what is summed up below a depth."""

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

from ramie.checkpoint.formats.leaf import Leaf
from ramie.errors import CheckpointOptionError

__all__ = ["Collapsed", "collapse", "under"]

_MOST = 5


class Collapsed(NamedTuple):
    """A subtree, summed up.

    Attributes:
      path: the keys that lead to it.
      n_leaves: how many leaves it has, arrays included.
      n_arrays: how many arrays.
      n_elements: how many elements these have.
      nbytes: how many bytes.
    """

    path: tuple[str, ...]
    n_leaves: int
    n_arrays: int
    n_elements: int
    nbytes: int


def under(leaves: Sequence[Leaf], subtree: str, source: str | os.PathLike[str]) -> list[Leaf]:
    """Return the leaves of a subtree.

    Args:
      leaves: those of the whole tree.
      subtree: the keys that lead to it, with slashes between them; a leaf is a subtree too. The
        empty string stands for all.
      source: the file, for messages.

    Raises:
      CheckpointOptionError: if there is no such subtree.
    """
    wanted = subtree.strip("/")
    if not wanted:
        return list(leaves)
    found = [leaf for leaf in leaves if f"{'/'.join(leaf.path)}/".startswith(f"{wanted}/")]
    if not found:
        raise CheckpointOptionError("subtree", subtree, _what_is_there(leaves, wanted, source))
    return found


def _what_is_there(leaves: Sequence[Leaf], wanted: str, source: str | os.PathLike[str]) -> str:
    """Say how far a path leads, and which keys there are."""
    above = wanted
    while above:
        above = above.rpartition("/")[0]
        start = f"{above}/" if above else ""
        names = ("/".join(leaf.path) for leaf in leaves)
        keys = list(
            dict.fromkeys(
                name.removeprefix(start).partition("/")[0]
                for name in names
                if name.startswith(start)
            )
        )
        if keys:
            listed = ", ".join(map(repr, keys[:_MOST])) + (", ..." if len(keys) > _MOST else "")
            where = f"{os.fspath(source)!r}" + (f" at {above!r}" if above else "")
            return f"there is no such path in {where}, which has {listed}"
    return f"{os.fspath(source)!r} has no leaves"


def collapse(leaves: Sequence[Leaf], depth: int) -> list[Leaf | Collapsed]:
    """Replace what lies deeper than a number of keys by sums; the order stays.

    Args:
      leaves: some leaves.
      depth: how many keys of a path are told apart, at least 1.

    Raises:
      CheckpointOptionError: if the depth is not positive.
    """
    if depth < 1:
        raise CheckpointOptionError(
            "depth", depth, "it is how many keys of a path to tell apart: 1 or more"
        )
    found: dict[tuple[str, ...], Leaf | Collapsed] = {}
    for leaf in leaves:
        if len(leaf.path) <= depth:
            found[leaf.path] = leaf
            continue
        top = leaf.path[:depth]
        before = found.get(top, Collapsed(top, 0, 0, 0, 0))
        assert isinstance(before, Collapsed)
        found[top] = Collapsed(
            top,
            before.n_leaves + 1,
            before.n_arrays + leaf.is_array,
            before.n_elements + (math.prod(leaf.shape) if leaf.shape is not None else 0),
            before.nbytes + leaf.nbytes,
        )
    return list(found.values())
