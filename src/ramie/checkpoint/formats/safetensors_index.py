"""Indexes of safetensors: pages in JSON that say which of many files holds which array.

A page may promise more than is there, or less. What is there can then be read all the same, if
that is asked for.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ramie.checkpoint.formats import safetensors
from ramie.checkpoint.formats.leaf import Leaf, open_regular
from ramie.checkpoint.formats.safetensors import Header, Tensor
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import integrity, remote
from ramie.errors import IncompleteCheckpointError, MalformedDataError

__all__ = ["SUFFIX", "files_of", "is_one", "outline", "page", "read", "sets_in", "steady", "survey"]

SUFFIX = ".safetensors.index.json"
"""How the name of an index ends."""

T = TypeVar("T")

_MOST_TRIES = 20
_COUNTED = ("total_size", "total_parameters")
_PART = re.compile(r".*-\d{5}-of-\d{5}\.safetensors", re.DOTALL)
_SHARD = re.compile(r"[^/\\\0]+")


class Found(NamedTuple):
    """What an index leads to.

    Attributes:
      header: the arrays and strings of all the files that are there.
      files: these files.
      lacks: what is missing, or not listed, a line each.
    """

    header: Header
    files: list[str]
    lacks: list[str]


def page(shards: Mapping[str, list[Tensor]]) -> bytes:
    """Return an index.

    Args:
      shards: the arrays by the name of their file.
    """
    places = {tensor.name: file for file, shard in shards.items() for tensor in shard}
    total = sum(tensor.nbytes for shard in shards.values() for tensor in shard)
    content = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"


def is_one(path: str) -> bool:
    """Tell whether a file that begins like JSON is an index, whatever its name."""
    try:
        return isinstance(_page(path).get("weight_map"), dict)
    except MalformedDataError:
        return False


def sets_in(folder: str) -> list[str]:
    """Return the paths of the indexes in a directory, and of files that are no parts of a set."""
    names = sorted(storage.list_names(folder))
    found = [name for name in names if name.endswith(SUFFIX)]
    found += [name for name in names if name.endswith(".safetensors") and not _PART.match(name)]
    return [os.path.join(folder, name) for name in found if not name.startswith(".")]


def files_of(path: str) -> list[str]:
    """Return the paths of the files that an index names, whether they are there or not.

    Raises:
      MalformedDataError: if it is none.
    """
    places, _ = _load(path)
    return [os.path.join(os.path.dirname(path), name) for name in sorted(set(places.values()))]


def steady(path: str, look: Callable[[], T]) -> T:
    """Look at an index and its files, once more whenever another set took its place meanwhile.

    A writer that replaces a set changes the index at once and then removes the old files, whose
    names later sets may have again.

    Args:
      path: the index.
      look: what is to be done; its errors count only if the index is still the same.
    """
    for _ in range(_MOST_TRIES):
        before = _version(path)
        try:
            found = look()
        except (OSError, ValueError):
            if _version(path) == before:
                raise
        else:
            if _version(path) == before:
                return found
    return look()


def _version(path: str) -> tuple[int, int, int] | None:
    """Return what is another for each index at a path; behind URLs nothing is known."""
    if remote.is_remote(path):
        return None
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _page(path: str) -> dict[str, Any]:
    if remote.is_remote(path):
        with remote.open_file(path) as upload:
            text, inode = upload.read(min(remote.size(path), safetensors.MAX_HEADER)), 0
    else:
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            text, inode = file.read(min(status.st_size, safetensors.MAX_HEADER)), status.st_ino
    manifest = integrity.read_manifest(path)
    if manifest is not None and manifest.records:
        found = integrity.sum_up(text, manifest.records[0].chunk)
        integrity.compare(path, manifest, found, inode)
    return safetensors.load_page(path, text)


def _load(path: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Return which file holds which array, and what the page says about the whole."""
    content = _page(path)
    places, about = content.get("weight_map"), content.get("metadata")
    if not isinstance(places, dict) or not isinstance(about, dict | None):
        safetensors.fail(path, "it has no weight_map")
    for place in places.values():
        if not isinstance(place, str) or not _SHARD.fullmatch(place) or place in (".", ".."):
            safetensors.fail(path, f"{str(place)[:60]!r} is not the name of a file beside it")
    return places, about or {}


def survey(path: str) -> Found:
    """Read an index and the headers of its files, and hold them against each other.

    Raises:
      MalformedDataError: if the page or a file is damaged.
    """
    places, about = _load(path)
    leaves: dict[str, Leaf] = {}
    metadata = {key: _text(value) for key, value in about.items() if key not in _COUNTED}
    values: dict[str, Any] = {}
    files, lacks = [], []
    for name in sorted(set(places.values())):
        file = os.path.join(os.path.dirname(path), name)
        if storage.kind_of(file) != "file":
            lacks.append(f"the file {name!r} is missing")
            continue
        files.append(file)
        header = safetensors.outline(file)
        metadata, values = metadata | header.metadata, values | header.values
        unlisted = []
        for leaf in header.leaves:
            array = leaf.path[0]
            if places.get(array) == name:
                leaves[array] = leaf
            else:
                leaves.setdefault(array, leaf)
                unlisted.append(array)
        if unlisted:
            lacks.append(f"{name!r} holds {_few(unlisted)}, and the index does not say so")
    there = {os.path.basename(file) for file in files}
    gone = [name for name, file in places.items() if file in there and name not in leaves]
    if gone:
        lacks.append(f"{_few(gone)} are in none of the files")
    return Found(Header(list(leaves.values()), metadata, values), files, lacks)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more


def outline(path: str, *, partial: bool = False) -> Found:
    """Read an index and the headers of its files.

    Args:
      path: the index.
      partial: whether it may list more or less than there is.

    Raises:
      MalformedDataError: if the page or a file is damaged.
      IncompleteCheckpointError: if they contradict each other, and not `partial`.
    """
    found = steady(path, lambda: survey(path))
    if found.lacks and not partial:
        raise IncompleteCheckpointError(path, found.lacks)
    return found


def read(path: str, *, partial: bool = False) -> tuple[Header, dict[str, np.ndarray[Any, Any]]]:
    """Read the arrays of all files of an index by name, and what else they hold.

    Args:
      path: the index.
      partial: read what is there and can be read, and leave out the rest.

    Raises:
      IncompleteCheckpointError: as `outline`.
      MalformedDataError, UnsupportedCheckpointError: as for one file.
    """
    return steady(path, lambda: _read(path, partial))


def _read(path: str, partial: bool) -> tuple[Header, dict[str, np.ndarray[Any, Any]]]:
    whole = outline(path, partial=partial)
    owner = {leaf.path[0]: leaf.file for leaf in whole.header.leaves}
    found: dict[str, np.ndarray[Any, Any]] = {}
    for file in whole.files:
        _, tensors = safetensors.read(file, partial=partial)
        found |= {name: array for name, array in tensors.items() if owner.get(name) == file}
    return whole.header, found
