"""Rewriting: a part of a checkpoint, or all of it under other names, in a file of its own."""

import os
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ramie.checkpoint.exchange import Format, write_leaves
from ramie.checkpoint.formats.leaf import Leaf
from ramie.checkpoint.inspecting.contents import outline
from ramie.checkpoint.inspecting.subtrees import under
from ramie.checkpoint.storage import entries as storage
from ramie.errors import CheckpointOptionError

__all__ = ["Renamed", "extract", "rename"]

Path = tuple[str, ...]
Progress = Callable[[str, int, int], None]

_MOST = 3


def extract(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    subtree: str,
    *,
    form: Format | None = None,
    separator: str | None = ".",
    overwrite: bool = False,
    drop_metadata: bool = False,
    progress: Progress | None = None,
) -> str:
    """Write a subtree of a checkpoint into a file of its own; what is damaged is refused.

    Args:
      source: a msgpack file, a safetensors file, the index of several, or an Orbax directory.
      destination: the new file or directory.
      subtree: the keys that lead to it, with slashes between them, as in ``params/encoder``. It
        becomes the root of the new file; a single array keeps its last key.
      form: the format of the new file; by default that which its name says, as in `convert`.
      separator: what stands between the keys in the names of safetensors files.
      overwrite: whether the destination may exist.
      drop_metadata: leave out what safetensors files say of themselves.
      progress: is called with what is done, how many bytes are done, and how many there are.

    Returns:
      The path of the new file.

    Raises:
      CheckpointOptionError: if there is no such subtree, or the destination exists.
      MalformedDataError: if the source is damaged; a ValueError.
      FormatLimitError: if the other format cannot hold something.

    Example:
      >>> import tempfile, numpy as np
      >>> from ramie import checkpoint
      >>> with tempfile.TemporaryDirectory() as directory:
      ...   whole = checkpoint.save(directory, {"params": {"bias": np.ones(2)}, "step": 3}, 1)
      ...   part = checkpoint.extract(whole, f"{directory}/part.safetensors", "params")
      ...   checkpoint.load_safetensors(part)
      {'bias': array([1., 1.])}
    """
    old = storage.local_path(source)
    whole = outline(old, separator=separator)
    found = under(whole.leaves, subtree, old)
    depth = len(_keys(found[0], subtree))
    leaves = [leaf._replace(path=leaf.path[depth:] or leaf.path[-1:]) for leaf in found]
    return write_leaves(
        old,
        storage.local_path(destination),
        leaves,
        form=form,
        separator=separator,
        overwrite=overwrite,
        metadata={} if drop_metadata else whole.metadata,
        progress=progress,
    )


def _keys(leaf: Leaf, subtree: str) -> Path:
    """Return the keys of a leaf that make up the path of a subtree; they may hold slashes."""
    wanted = subtree.strip("/")
    for depth in range(len(leaf.path) + 1):
        if "/".join(leaf.path[:depth]) == wanted:
            return leaf.path[:depth]
    raise CheckpointOptionError("subtree", subtree, "it ends inside of a key that holds a slash")


class Renamed(NamedTuple):
    """What `rename` did, or would do.

    Attributes:
      changed: pairs of an old and a new path.
      n_same: how many leaves keep their paths.
      path: the new file; None if none was asked for.
    """

    changed: list[tuple[Path, Path]]
    n_same: int
    path: str | None


def rename(
    source: str | os.PathLike[str],
    pattern: str,
    replacement: str,
    *,
    destination: str | os.PathLike[str] | None = None,
    form: Format | None = None,
    separator: str | None = ".",
    overwrite: bool = False,
    drop_metadata: bool = False,
    progress: Progress | None = None,
) -> Renamed:
    r"""Write a checkpoint with other paths of its leaves into a new file.

    Order, values and dtypes of the leaves stay.

    Args:
      source: a msgpack file, a safetensors file, the index of several, or an Orbax directory.
      pattern: a regular expression of `re`; what it matches in a path, written with slashes
        between the keys, is replaced everywhere.
      replacement: what stands in its place; ``\1`` is the first group of the pattern.
      destination: the new file or directory; None only to see what would be renamed.
      form, separator, overwrite, drop_metadata, progress: as in `extract`.

    Raises:
      CheckpointOptionError: if the pattern is none, matches nothing, leads to the same path
        twice or to a path without keys; or the destination exists or is the source.
      MalformedDataError: if the source is damaged; a ValueError.
      FormatLimitError: if the other format cannot hold something.

    Example:
      >>> import tempfile, numpy as np
      >>> from ramie import checkpoint
      >>> with tempfile.TemporaryDirectory() as directory:
      ...   path = checkpoint.save(directory, {"enc": {"Dense_0": {"bias": np.ones(2)}}}, 1)
      ...   checkpoint.rename(path, r"Dense_(\d+)", r"layer\1").changed
      [(('enc', 'Dense_0', 'bias'), ('enc', 'layer0', 'bias'))]
    """
    if not pattern:
        raise CheckpointOptionError("pattern", pattern, "it is empty")
    try:
        replacement.encode()
    except UnicodeEncodeError as error:
        problem = f"it is no text that a file could hold: {error.reason}"
        raise CheckpointOptionError("replacement", replacement, problem) from None
    old = storage.local_path(source)
    whole = outline(old, separator=separator)
    paths = [_renamed(leaf.path, pattern, replacement) for leaf in whole.leaves]
    _check_paths(paths, [leaf.path for leaf in whole.leaves], replacement)
    pairs = zip((leaf.path for leaf in whole.leaves), paths, strict=True)
    changed = [(before, after) for before, after in pairs if before != after]
    if not changed:
        example = "/".join(whole.leaves[0].path) if whole.leaves else "params/Dense_0/kernel"
        problem = f"no path in {old!r} is changed by it; paths are written like {example!r}"
        raise CheckpointOptionError("pattern", pattern, problem)
    if destination is None:
        return Renamed(changed, len(paths) - len(changed), None)
    leaves = [leaf._replace(path=path) for leaf, path in zip(whole.leaves, paths, strict=True)]
    new = write_leaves(
        old,
        storage.local_path(destination),
        leaves,
        form=form,
        separator=separator,
        overwrite=overwrite,
        metadata={} if drop_metadata else whole.metadata,
        progress=progress,
    )
    return Renamed(changed, len(paths) - len(changed), new)


def _renamed(path: Path, pattern: str, replacement: str) -> Path:
    before = "/".join(path)
    try:
        after = re.sub(pattern, replacement, before)
    except re.error as error:
        where = "pattern" if error.pattern == pattern else "replacement"
        raise CheckpointOptionError(
            where,
            pattern if where == "pattern" else replacement,
            f"it is not valid in a regular expression: {error}",
        ) from None
    except IndexError as error:  # a group by a name that there is not
        raise CheckpointOptionError("replacement", replacement, str(error)) from None
    if after == before:
        return path
    if any("/" in key for key in path):
        problem = f"it matches {before!r}, which has slashes inside of its keys"
        raise CheckpointOptionError("pattern", pattern, problem)
    return tuple(after.split("/"))


def _check_paths(after: Sequence[Path], before: Sequence[Path], replacement: str) -> None:
    """Refuse paths that are there twice, lead through a leaf, or have empty keys."""
    taken: dict[Path, Path] = {}
    problems = []
    for new, old in zip(after, before, strict=True):
        if new in taken:
            problems.append(f"{_text(taken[new])} and {_text(old)} would both be {_text(new)}")
        if new != old and not all(new):
            problems.append(f"{_text(old)} would be {_text(new)}, where a key is empty")
        taken.setdefault(new, old)
    for new, old in taken.items():
        for depth in range(1, len(new)):
            above = taken.get(new[:depth])
            if above is not None:
                problems.append(
                    f"{_text(old)} would be {_text(new)}, below the leaf {_text(above)}"
                )
    if problems:
        rest = f" (and {len(problems) - _MOST} more)" if len(problems) > _MOST else ""
        raise CheckpointOptionError("replacement", replacement, "; ".join(problems[:_MOST]) + rest)


def _text(path: Path) -> str:
    return repr("/".join(path))
