"""Inspection: the checkpoints of a directory, and what is in a file; nothing is ever changed."""

import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ramie.checkpoint.formats import orbax, orbax_layout
from ramie.checkpoint.formats.leaf import Leaf, read_array
from ramie.checkpoint.inspecting import health
from ramie.checkpoint.inspecting.contents import Outline, outline
from ramie.checkpoint.inspecting.numbers import Statistics, number_kind, statistics_of
from ramie.checkpoint.inspecting.subtrees import under
from ramie.checkpoint.series import steps
from ramie.checkpoint.series.others import Other, find_others
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import remote
from ramie.checkpoint.storage.progress import Progress, watched
from ramie.errors import (
    CheckpointNotFoundError,
    CheckpointOptionError,
    MalformedDataError,
    MissingExtraError,
    RamieError,
)

__all__ = ["Described", "Listed", "describe", "survey"]

_PROBLEMS = (RamieError, OSError)
_MOST_NAMED = 5


class Listed(NamedTuple):
    """One checkpoint of a directory.

    Attributes:
      prefix: what its name starts with.
      step: the number in its name.
      path: where it is.
      form: "file", or "directory" for those of Orbax; "unreadable" for what cannot be looked at;
        "unfinished" or "foreign" for what is called like a checkpoint, and is none.
      nbytes: its size.
      modified: when it was written, in seconds since 1970.
      metrics: those saved with it, by group and label, if it has any.
      health: what `verify` says, if that was asked for.
      problem: what is wrong with what cannot be looked at, or is none.
    """

    prefix: str
    step: int | float
    path: str
    form: str
    nbytes: int
    modified: float
    metrics: Mapping[str, Any]
    health: health.Health | None
    problem: str = ""


def survey(
    directory: str | os.PathLike[str],
    prefix: str | None = None,
    *,
    health: bool = False,
    others: bool = False,
    progress: Progress | None = None,
) -> list[Listed]:
    """List the checkpoints of a directory, by prefix and step.

    Args:
      directory: where they are.
      prefix: only those whose names start with this; by default all that end in a number.
      health: verify each checkpoint, which reads all of it.
      others: list also, at the end, what is called like a checkpoint and is none: what Orbax left
        unfinished, and beside checkpoints of the same prefix whatever else there is.
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
    only = None
    if prefix is None:
        found = _all_prefixes(place)
    else:
        place, only = steps.split_prefix(place, prefix)
        found = [(only, item) for item in steps.find(place, only)]
    total = sum(storage.size_of(item.path) for _, item in found)
    listed, done = [], 0
    for start, item in found:
        if progress:
            progress(item.name, done, total)
        try:
            listed.append(_list(start, item, health))
        except (FileNotFoundError, CheckpointNotFoundError):
            continue  # a writer removed it meanwhile
        except _PROBLEMS as error:  # one of them is no reason to list none
            listed.append(_unreadable(start, item, str(error)))
        done += listed[-1].nbytes
    if progress:
        progress("", total, total)
    return listed + (_others(place, only, found) if others else [])


def _all_prefixes(place: str) -> list[tuple[str, steps.Found]]:
    """Return the checkpoints of all prefixes, each under its own: the number is what it can be."""
    split = map(steps.split_name, storage.list_names(place))
    prefixes = sorted({name[0] for name in split if name is not None})
    return [
        (start, item)
        for start in prefixes
        for item in steps.find(place, start)
        if (steps.split_name(item.name) or ("",))[0] == start
    ]


def _others(place: str, only: str | None, found: list[tuple[str, steps.Found]]) -> list[Listed]:
    prefixes = {start for start, _ in found}
    known = {item.path for _, item in found}
    return [
        _unreadable(other.prefix, other, other.problem, other.kind)
        for other in find_others(place, prefixes, known)
        if only in (None, other.prefix)
    ]


def _unreadable(
    prefix: str, item: steps.Found | Other, problem: str, form: str = "unreadable"
) -> Listed:
    nbytes = storage.size_of(item.path)
    try:
        modified = os.lstat(item.path).st_mtime
    except OSError:  # it was removed meanwhile
        modified = 0.0
    return Listed(prefix, item.step, item.path, form, nbytes, modified, {}, None, problem)


def _list(prefix: str, found: steps.Found, verify: bool) -> Listed:
    kind = storage.kind_of(found.path)
    state = health.verify(found.path) if verify else None
    if remote.is_remote(found.path):  # metrics are inside, and not worth a download
        nbytes, modified = storage.size_of(found.path), remote.modified(found.path)
        return Listed(prefix, found.step, found.path, kind, nbytes, modified, {}, state)
    metrics = _metrics(found.path) if kind == "file" else _metrics_of_directory(found.path)
    modified = os.path.getmtime(found.path)
    nbytes = storage.size_of(found.path)
    return Listed(prefix, found.step, found.path, kind, nbytes, modified, metrics, state)


def _metrics_of_directory(path: str) -> dict[str, Any]:
    """Return the metrics that a manager saved beside a tree, or else those in the tree."""
    found = _numbers(orbax_layout.metrics_of(path))
    try:
        whole = orbax_layout.layout(path)
    except MalformedDataError:
        return found  # for `verify` to say
    tree = whole.items[0] if whole.is_single and whole.items[0].kind == "tree" else None
    inside = not found and tree is not None and orbax.may_hold(tree.path, "metrics")
    return _metrics(path) if inside else found


def _numbers(page: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        name: _numbers(value) if isinstance(value, dict) else value for name, value in page.items()
    }
    return {
        name: value
        for name, value in found.items()
        if (isinstance(value, dict) and value) or isinstance(value, (int, float))
    }


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


def _latest_at(place: str) -> str:
    """Return the path of the latest checkpoint of a directory; another path as it is."""
    if storage.kind_of(place) != "directory" or orbax.is_orbax(place):
        return place
    found = _all_prefixes(place)
    prefixes = sorted({start for start, _ in found})
    if len(prefixes) > 1:
        last = found[-1][1].path
        names = f"{prefixes[:_MOST_NAMED]}" + (" and others" if len(prefixes) > _MOST_NAMED else "")
        reason = f"it holds checkpoints of the prefixes {names}; name one, such as {last!r}"
        raise CheckpointOptionError("path", place, reason)
    return found[-1][1].path if found else place


class Described(NamedTuple):
    """What is in a file.

    Attributes:
      outline: the leaves, and what is known of the file.
      n_arrays: how many arrays there are.
      n_elements: how many numbers these have.
      nbytes: how many bytes.
      statistics: of each array that holds real numbers, by path, if asked for.
      array: the array, where a subtree was asked for that is one; else None.
    """

    outline: Outline
    n_arrays: int
    n_elements: int
    nbytes: int
    statistics: dict[tuple[str, ...], Statistics]
    array: np.ndarray[Any, Any] | None = None


def describe(
    path: str | os.PathLike[str],
    subtree: str = "",
    *,
    statistics: bool = False,
    separator: str | None = ".",
    progress: Progress | None = None,
) -> Described:
    """Describe a checkpoint: what it holds, and how much.

    Args:
      path: a msgpack or safetensors file, an index, or an Orbax directory; of a directory with the
        checkpoints of one prefix, the latest of them is described.
      subtree: only what is below these keys, with slashes between them, as in
        ``params/encoder``. If that is one array it is read, and its statistics are taken.
      statistics: read the arrays, one after the other, and say what they are like.
      separator: where the names in safetensors files are taken apart; None not to.
      progress: is called while arrays are read.

    Raises:
      CheckpointNotFoundError: if there is nothing at the path.
      CheckpointOptionError: if the directory holds checkpoints of several prefixes, or there is
        no such subtree.
      MalformedDataError: if it is damaged, as far as that shows.
    """
    place = _latest_at(storage.local_path(path))
    whole = outline(place, separator=separator)
    whole = whole._replace(leaves=under(whole.leaves, subtree, place))
    leaves = [leaf for leaf in whole.leaves if leaf.is_array]
    nbytes = sum(leaf.nbytes for leaf in leaves)
    found: dict[tuple[str, ...], Statistics] = {}
    array = None
    wanted = subtree.strip("/")
    is_one = bool(wanted) and [wanted] == ["/".join(leaf.path) for leaf in leaves]
    if statistics or is_one:
        with watched(progress, os.path.basename(place), nbytes):
            for leaf in leaves:
                if is_one:
                    array = read_array(leaf)
                if _has_order(leaf):
                    found[leaf.path] = statistics_of(read_array(leaf) if array is None else array)
    elements = sum(math.prod(leaf.shape or ()) for leaf in leaves)
    return Described(whole, len(leaves), elements, nbytes, found, array)


def _has_order(leaf: Leaf) -> bool:
    """Tell whether an array holds numbers of which there is a smallest one."""
    if leaf.dtype is None or leaf.note not in ("", "scalar"):
        return False
    return number_kind(leaf.dtype) in ("integer", "real")
