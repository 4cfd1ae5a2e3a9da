"""Outlines: what is in a checkpoint file, of whatever format, without reading its arrays."""

import contextlib
import os
import re
import shlex
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from ramie.checkpoint.formats import (
    msgpack_outline,
    orbax,
    orbax_items,
    safetensors,
    safetensors_index,
)
from ramie.checkpoint.formats.leaf import Leaf, open_regular
from ramie.checkpoint.formats.orbax_layout import looks_like_step
from ramie.checkpoint.inspecting import foreign
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import integrity, remote
from ramie.errors import (
    CheckpointNotFoundError,
    CheckpointOptionError,
    ForeignFileError,
    MalformedDataError,
)

__all__ = ["Form", "Outline", "load", "nest", "outline", "path_of", "recognise"]

Form = Literal["msgpack", "safetensors", "safetensors index", "orbax"]
"""The formats of checkpoints."""

_HEADER = re.compile(rb"\{[\"}\s]")
_CONTAINER = re.compile(rb"[\x80-\x9f\xc7-\xc9\xd4-\xd8\xdc-\xdf]")


class Outline(NamedTuple):
    """What is in a file.

    Attributes:
      path: the file.
      form: its format.
      nbytes: the size of the file, or of all the files of an index.
      leaves: the leaves of the saved tree, those that are no arrays last in safetensors files.
      metadata: strings about the file, if it is one of safetensors; metrics and custom metadata of
        a step that Orbax wrote, as JSON, as far as no leaf holds them.
    """

    path: str
    form: Form
    nbytes: int
    leaves: list[Leaf]
    metadata: dict[str, str]


def recognise(path: str | os.PathLike[str]) -> Form:
    """Tell the format of a file by its first bytes, and Orbax by the files in a directory.

    Args:
      path: where it is; a URL too.

    Raises:
      CheckpointNotFoundError: if there is nothing at the path.
      CheckpointOptionError: if it is neither a regular file nor a directory that Orbax made.
      ForeignFileError: if another program made it, or one of the files that it is an index of,
        and what that is is known.
      MalformedDataError: if it is empty, or an index that is none.
    """
    place = storage.local_or_remote(path)
    form = _recognise(place)
    if form == "safetensors index":
        for file in safetensors_index.files_of(place):
            with contextlib.suppress(CheckpointNotFoundError, FileNotFoundError):
                _recognise(file)
    return form


def _recognise(place: str) -> Form:
    """Tell the format as `recognise` does, of an index without a look at its files."""
    kind = storage.kind_of(place)
    if kind == "absent":
        raise CheckpointNotFoundError(*os.path.split(place), None)
    if kind == "directory":
        # First, since TensorFlow and Orbax in its first layout have files of one name.
        known = foreign.name_directory(place)
        is_old_step = place[-1:].isdigit() and looks_like_step(place)
        if known is None and (orbax.is_orbax(place) or is_old_step):
            return "orbax"
        problem = f"it is a directory that Orbax did not make. {_instead(place)}"
        if known:
            problem = f"it is {known.kind}. {known.instead.rstrip('.')}"
        raise CheckpointOptionError("path", place, problem)
    if kind != "file":
        raise CheckpointOptionError("path", place, "it is not a regular file")
    if remote.is_remote(place):
        start, size, inode = remote.read_start(place, foreign.LONGEST), remote.size(place), 0
    else:
        with open_regular(place) as file:
            start, status = file.read(foreign.LONGEST), os.fstat(file.fileno())
        size, inode = status.st_size, status.st_ino
    return _by_content(place, start, size, inode)


def _instead(directory: str) -> str:
    """Say what can be named instead of a directory that is no checkpoint."""
    hint = f"`ramie ckpt ls {shlex.quote(directory)}` lists the checkpoints in it"
    if remote.is_remote(directory):
        return f"Name one of its checkpoints; {hint}"
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        files = [entry.path for entry in entries if entry.is_file() and entry.name[0] != "."]
        folders = [entry.path for entry in entries if entry.is_dir() and _has_steps(entry.path)]
    except OSError:
        return f"Name one of its checkpoints; {hint}"
    if not entries:
        return "It is empty"
    if any(path[-1].isdigit() for path in files):
        return f"Name one of its checkpoints; {hint}"
    if folders:
        return f"Its checkpoints are in {folders[0]!r}"
    named = [path for path in files if path.endswith((".msgpack", ".safetensors", ".index.json"))]
    named = named or files
    return f"Name a file in it, such as {named[0]!r}" if named else "No checkpoint is in it"


def _has_steps(directory: str) -> bool:
    """Tell whether names in a directory end like those of checkpoints, in a number."""
    with contextlib.suppress(OSError):
        return any(name[-1].isdigit() for name in os.listdir(directory) if name[0] != ".")
    return False


def _by_content(place: str, start: bytes, size: int, inode: int) -> Form:
    if _is_header(start, size):
        return "safetensors"
    named = place.endswith(safetensors_index.SUFFIX)
    if start.lstrip()[:1] == b"{" and (named or safetensors_index.is_one(place)):
        return "safetensors index"
    known = foreign.name_file(start, size)
    if (known or not size) and not _is_ours(place, inode):
        if known:
            raise ForeignFileError(place, *known)
        problem = "it is empty, and a copy or a download was cut short"
        raise MalformedDataError(problem, source=place)
    if named:
        return "safetensors index"
    # Only what may be the one and cannot be the other goes against the end of the name.
    if place.endswith(".safetensors") and not _is_msgpack(start):
        return "safetensors"
    return "msgpack"


def _is_header(start: bytes, size: int) -> bool:
    """Tell whether a file begins as safetensors do: the length of the header, and a JSON object.

    No msgpack file of one of our trees has zeros in the bytes 5 to 7 and such text after them.
    """
    length = int.from_bytes(start[:8], "little")
    return _HEADER.match(start, 8) is not None and length <= min(size - 8, safetensors.MAX_HEADER)


def _is_msgpack(start: bytes) -> bool:
    """Tell whether a file begins with a container of msgpack, and with no length of a header."""
    length = int.from_bytes(start[:8], "little")
    return _CONTAINER.match(start) is not None and (
        len(start) < 8 or length > safetensors.MAX_HEADER
    )


def _is_ours(place: str, inode: int) -> bool:
    """Tell whether a file has a manifest: then what it holds is checked, and damaged if unlike."""
    manifest = integrity.read_manifest(place)
    return manifest is not None and bool(manifest.records) and manifest.speaks_of(inode)


def outline(
    path: str | os.PathLike[str], *, separator: str | None = ".", partial: bool = False
) -> Outline:
    """Describe a checkpoint without reading its arrays.

    Args:
      path: a msgpack or safetensors file, the index of several safetensors files, or a directory
        that Orbax made.
      separator: where the names in safetensors files are taken apart into keys; None to leave
        them as they are.
      partial: whether an index may list more or less than there is.

    Raises:
      CheckpointNotFoundError: if there is nothing at the path.
      IncompleteCheckpointError: if an index lists more or less, and not `partial`.
      MalformedDataError: if it is damaged, as far as that shows without reading the arrays.

    Example:
      >>> import tempfile, numpy as np
      >>> from ramie import checkpoint
      >>> with tempfile.TemporaryDirectory() as directory:
      ...   path = checkpoint.save(directory, {"a": np.zeros((2, 3)), "b": 1}, step=1)
      ...   [(leaf.path, leaf.kind, leaf.shape) for leaf in checkpoint.outline(path).leaves]
      [(('a',), 'float64', (2, 3)), (('b',), 'int', None)]
    """
    place = storage.local_path(path)
    form = recognise(place)
    if form == "orbax":
        sizes = (os.path.getsize(file) for file in storage.files_below(place))
        return Outline(place, form, sum(sizes), *orbax_items.outline(place))
    if form == "msgpack":
        leaves = msgpack_outline.outline(place)
        return Outline(place, form, os.path.getsize(place), leaves, {})
    header, files = _headers(place, form, partial)
    leaves = [leaf._replace(path=path_of(leaf.path[0], separator)) for leaf in header.leaves]
    leaves += [Leaf(path_of(name, separator), value=value) for name, value in header.values.items()]
    if not leaves:
        leaves = [Leaf((), value={})]
    nbytes = sum(os.path.getsize(file) for file in {*files, place})
    return Outline(place, form, nbytes, leaves, header.metadata)


def _headers(place: str, form: Form, partial: bool) -> tuple[safetensors.Header, list[str]]:
    """Return what the headers of safetensors say, and the files that have them."""
    if form == "safetensors":
        return safetensors.outline(place), [place]
    found = safetensors_index.outline(place, partial=partial)
    return found.header, found.files


def load(place: str, form: Form, *, separator: str | None = ".", partial: bool = False) -> Any:
    """Read a safetensors file, or all files of an index, as nested dictionaries.

    Args:
      place: where it is; a URL too.
      form: which of the two it is.
      separator: where the names are taken apart into keys; None for one dictionary by name.
      partial: read what is there and can be read, and leave out the rest.

    Raises:
      MalformedDataError: if a file is damaged.
      IncompleteCheckpointError: if an index lists more or less than there is, and not `partial`.
      UnsupportedCheckpointError: if arrays cannot be read, and not `partial`.
      CheckpointOptionError: if the names are no paths with this separator.
    """
    one = safetensors.read if form == "safetensors" else safetensors_index.read
    header, found = one(place, partial=partial)
    values = found | header.values
    return nest(((path_of(name, separator), value) for name, value in values.items()), separator)


def path_of(name: str, separator: str | None) -> tuple[str, ...]:
    """Return the keys that a name in a safetensors file is made of."""
    if separator == "":
        raise CheckpointOptionError(
            "separator", separator, "it is empty; separator=None leaves names as they are"
        )
    return (name,) if separator is None else tuple(name.split(separator))


def nest(entries: Iterable[tuple[tuple[str, ...], Any]], separator: str | None) -> Any:
    """Make nested dictionaries of values by path.

    Raises:
      CheckpointOptionError: if a path leads through a value, so that the names were not made with
        this separator.
    """
    tree: dict[str, Any] = {}
    made = {id(tree)}
    for path, value in entries:
        level = tree
        for key in path[:-1]:
            if key not in level:
                level[key] = {}
                made.add(id(level[key]))
            level = level[key]
            if id(level) not in made:
                _refuse(path, separator)
        if path == ():
            return value
        if path[-1] in level:
            _refuse(path, separator)
        level[path[-1]] = value
    return tree


def _refuse(path: tuple[str, ...], separator: str | None) -> None:
    name = (separator or "").join(path)
    raise CheckpointOptionError(
        "separator", separator, f"the names up to {name!r} are no paths with it; try separator=None"
    )
