"""Inspection: the checkpoints of a directory, and what is in a file; nothing is ever changed."""

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ramie.checkpoint.formats import orbax
from ramie.checkpoint.formats.leaf import Leaf, read_array
from ramie.checkpoint.inspecting import health
from ramie.checkpoint.inspecting.contents import Outline, outline
from ramie.checkpoint.inspecting.numbers import Statistics, number_kind, statistics_of
from ramie.checkpoint.series import steps
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import remote
from ramie.errors import (
    CheckpointNotFoundError,
    CheckpointOptionError,
    MalformedDataError,
    MissingExtraError,
)

__all__ = ["Described", "Listed", "describe", "size", "survey"]

Progress = Callable[[str, int, int], None]
"""Told what is being read, how many bytes are done, and how many there are."""

_ENDS_IN_A_DIGIT = re.compile(r".*[0-9.]", re.DOTALL)


class Listed(NamedTuple):
    """One checkpoint of a directory.

    Attributes:
      prefix: what its name starts with.
      step: the number in its name.
      path: where it is.
      form: "file", or "directory" for those of Orbax.
      nbytes: its size.
      modified: when it was written, in seconds since 1970.
      metrics: those saved with it, by group and label, if it has any.
      health: what `verify` says, if that was asked for.
    """

    prefix: str
    step: int | float
    path: str
    form: str
    nbytes: int
    modified: float
    metrics: Mapping[str, Any]
    health: health.Health | None


def survey(
    directory: str | os.PathLike[str],
    prefix: str | None = None,
    *,
    health: bool = False,
    progress: Progress | None = None,
) -> list[Listed]:
    """List the checkpoints of a directory, by prefix and step.

    Args:
      directory: where they are.
      prefix: only those whose names start with this; by default all that end in a number.
      health: verify each checkpoint, which reads all of it.
      progress: is called before each file is read.

    Raises:
      CheckpointNotFoundError: if there is no such directory.
      CheckpointOptionError: if it is a file.

    Example:
      >>> import tempfile
      >>> from ramie import checkpoint
      >>> with tempfile.TemporaryDirectory() as directory:
      ...   for step in (1, 2):
      ...     _ = checkpoint.save(directory, {"metrics": {"loss": 0.5}}, step, keep=2)
      ...   [(found.step, found.metrics) for found in checkpoint.survey(directory)]
      [(1, {'loss': 0.5}), (2, {'loss': 0.5})]
    """
    place = storage.local_or_remote(directory)
    storage.check_directory(place)
    if prefix is None:
        prefixes = sorted({start for start in map(_prefix, storage.list_names(place)) if start})
        found = [(start, item) for start in prefixes for item in steps.find(place, start)]
    else:
        folder, start = steps.split_prefix(place, prefix)
        found = [(start, item) for item in steps.find(folder, start)]
    total = sum(size(item.path) for _, item in found)
    listed, done = [], 0
    for start, item in found:
        if progress:
            progress(item.name, done, total)
        try:
            listed.append(_list(start, item, health))
        except (FileNotFoundError, CheckpointNotFoundError):
            continue  # a writer removed it meanwhile
        done += listed[-1].nbytes
    if progress:
        progress("", total, total)
    return listed


def _prefix(name: str) -> str | None:
    """Return what stands before the number that a visible name ends in, at its longest."""
    if name.startswith(".") or not _ENDS_IN_A_DIGIT.fullmatch(name):
        return None
    for start in range(1, len(name)):
        if steps.parse_step(name[start:]) is not None:
            return name[:start]
    return None


def size(path: str) -> int:
    """Return the bytes of a file, or of all files below a directory; 0 if it is gone."""
    if remote.is_remote(path):
        return remote.size(path)
    files = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    return sum(os.path.getsize(file) for file in files or [path] if os.path.isfile(file))


def _list(prefix: str, found: steps.Found, verify: bool) -> Listed:
    kind = storage.kind_of(found.path)
    state = health.verify(found.path) if verify else None
    if remote.is_remote(found.path):  # metrics are inside, and not worth a download
        nbytes, modified = size(found.path), remote.modified(found.path)
        return Listed(prefix, found.step, found.path, kind, nbytes, modified, {}, state)
    metrics = (
        _metrics(found.path) if kind == "file" or orbax.may_hold(found.path, "metrics") else {}
    )
    modified = os.path.getmtime(found.path)
    nbytes = size(found.path)
    return Listed(prefix, found.step, found.path, kind, nbytes, modified, metrics, state)


def _metrics(path: str) -> dict[str, Any]:
    """Return the numbers under "metrics" in a checkpoint, whose other arrays are not read."""
    try:
        leaves = outline(path).leaves
    except (MalformedDataError, CheckpointOptionError, MissingExtraError):
        return {}  # for `verify` to say
    metrics: dict[str, Any] = {}
    for leaf in leaves:
        if leaf.path[:1] != ("metrics",) or len(leaf.path) < 2:
            continue
        value = leaf.value
        if (
            leaf.is_array
            and leaf.shape == ()
            and leaf.dtype is not None
            and leaf.dtype.kind in "fiu"
        ):
            value = read_array(leaf).item()
        if isinstance(value, (int, float)):
            level = metrics
            for key in leaf.path[1:-1]:
                level = level.setdefault(key, {})
            level[leaf.path[-1]] = value
    return metrics


class Described(NamedTuple):
    """What is in a file.

    Attributes:
      outline: the leaves, and what is known of the file.
      n_arrays: how many arrays there are.
      n_elements: how many numbers these have.
      nbytes: how many bytes.
      statistics: of each array that holds real numbers, by path, if asked for.
    """

    outline: Outline
    n_arrays: int
    n_elements: int
    nbytes: int
    statistics: dict[tuple[str, ...], Statistics]


def describe(
    path: str | os.PathLike[str],
    *,
    statistics: bool = False,
    separator: str | None = ".",
    progress: Progress | None = None,
) -> Described:
    """Describe a checkpoint: what it holds, and how much.

    Args:
      path: a msgpack or safetensors file, an index, or an Orbax directory.
      statistics: read the arrays, one after the other, and say what they are like.
      separator: where the names in safetensors files are taken apart; None not to.
      progress: is called while arrays are read.

    Raises:
      CheckpointNotFoundError: if there is nothing at the path.
      MalformedDataError: if it is damaged, as far as that shows.
    """
    whole = outline(path, separator=separator)
    leaves = [leaf for leaf in whole.leaves if leaf.is_array]
    nbytes = sum(leaf.nbytes for leaf in leaves)
    found: dict[tuple[str, ...], Statistics] = {}
    if statistics:
        done = 0
        for leaf in leaves:
            if progress:
                progress("/".join(leaf.path), done, nbytes)
            if _has_order(leaf):
                found[leaf.path] = statistics_of(read_array(leaf))
            done += leaf.nbytes
        if progress:
            progress("", nbytes, nbytes)
    elements = sum(math.prod(leaf.shape or ()) for leaf in leaves)
    return Described(whole, len(leaves), elements, nbytes, found)


def _has_order(leaf: Leaf) -> bool:
    """Tell whether an array holds numbers of which there is a smallest one."""
    if leaf.dtype is None or leaf.note not in ("", "scalar"):
        return False
    return number_kind(leaf.dtype) in ("integer", "real")
