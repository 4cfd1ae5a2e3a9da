"""Outlines: what is in a checkpoint file, of whatever format, without reading its arrays."""

import os
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from ramie.checkpoint.formats import msgpack_outline, orbax, safetensors
from ramie.checkpoint.formats.leaf import Leaf, open_regular
from ramie.checkpoint.storage import entries as storage
from ramie.errors import (
    CheckpointNotFoundError,
    CheckpointOptionError,
)

__all__ = ["Form", "Outline", "nest", "outline", "path_of", "recognise"]

Form = Literal["msgpack", "safetensors", "safetensors index", "orbax"]
"""The formats of checkpoints."""


class Outline(NamedTuple):
    """What is in a file.

    Attributes:
      path: the file.
      form: its format.
      nbytes: the size of the file, or of all the files of an index.
      leaves: the leaves of the saved tree, those that are no arrays last in safetensors files.
      metadata: strings about the file; only safetensors files have any.
    """

    path: str
    form: Form
    nbytes: int
    leaves: list[Leaf]
    metadata: dict[str, str]


def recognise(path: str | os.PathLike[str]) -> Form:
    """Tell the format of a file by its first bytes or its name, and Orbax by the files in it.

    Raises:
      CheckpointNotFoundError: if there is nothing at the path.
      CheckpointOptionError: if it is neither a regular file nor a directory that Orbax made.
    """
    place = storage.local_path(path)
    kind = storage.kind_of(place)
    if kind == "absent":
        raise CheckpointNotFoundError(*os.path.split(place), None)
    if kind == "directory":
        if orbax.is_orbax(place):
            return "orbax"
        raise CheckpointOptionError(
            "path",
            place,
            "Orbax did not make this directory; name a file, or the directory of a step",
        )
    if kind != "file":
        raise CheckpointOptionError("path", place, "it is not a regular file")
    if place.endswith(safetensors.INDEX_SUFFIX):
        return "safetensors index"
    with open_regular(place) as file:
        start = file.read(9)
        size = os.fstat(file.fileno()).st_size
    # No msgpack file that begins with a map or an array has zeros in the bytes 5 to 7.
    length = int.from_bytes(start[:8], "little")
    is_header = len(start) == 9 and start[8:] == b"{" and length <= size - 8
    return "safetensors" if is_header or place.endswith(".safetensors") else "msgpack"


def outline(path: str | os.PathLike[str], *, separator: str | None = ".") -> Outline:
    """Describe a checkpoint without reading its arrays.

    Args:
      path: a msgpack or safetensors file, the index of several safetensors files, or a directory
        that Orbax made.
      separator: where the names in safetensors files are taken apart into keys; None to leave
        them as they are.

    Raises:
      CheckpointNotFoundError: if there is nothing at the path.
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
        return Outline(place, form, sum(sizes), orbax.outline(orbax.tree_directory(place)), {})
    if form == "msgpack":
        leaves = msgpack_outline.outline(place)
        return Outline(place, form, os.path.getsize(place), leaves, {})
    header = (
        safetensors.outline(place) if form == "safetensors" else safetensors.outline_index(place)
    )
    leaves = [leaf._replace(path=path_of(leaf.path[0], separator)) for leaf in header.leaves]
    leaves += [Leaf(path_of(name, separator), value=value) for name, value in header.values.items()]
    files = {leaf.file for leaf in header.leaves} | {place}
    nbytes = sum(os.path.getsize(file) for file in files)
    return Outline(place, form, nbytes, leaves, header.metadata)


def path_of(name: str, separator: str | None) -> tuple[str, ...]:
    """Return the keys that a name in a safetensors file is made of."""
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
        "separator", separator, f"the names up to {name!r} are no paths with it; try None"
    )
