"""Exchange: safetensors files out of trees and back, and one format into another."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from ramie.checkpoint.formats import msgpack, orbax_items, orbax_saving, safetensors_index
from ramie.checkpoint.formats.leaf import Leaf, read_array
from ramie.checkpoint.formats.match import restore_into
from ramie.checkpoint.formats.orbax import check_device, is_orbax
from ramie.checkpoint.inspecting.contents import load, nest, outline, recognise
from ramie.checkpoint.inspecting.health import check
from ramie.checkpoint.saving import shards
from ramie.checkpoint.saving.directory_writer import save_tree
from ramie.checkpoint.saving.writer import write_file
from ramie.checkpoint.stacking import check_options, rearranged
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage.progress import Progress, watched
from ramie.errors import (
    CheckpointOptionError,
    FormatLimitError,
    IncompleteCheckpointError,
    MalformedDataError,
)
from ramie.serialization.arrays import Deferred
from ramie.serialization.state_dict import to_state_dict

__all__ = ["Format", "convert", "load_safetensors", "save_safetensors", "write_leaves"]

Format = Literal["msgpack", "safetensors", "orbax"]
"""What can be written."""

_ABOUT_THE_WRITER = "format"
"""A string that says which library wrote a file (``pt``), and so nothing about its content."""


def save_safetensors(
    path: str | os.PathLike[str],
    tree: Any,
    *,
    separator: str | None = ".",
    metadata: Mapping[str, str] | None = None,
    max_shard_bytes: int | None = None,
    overwrite: bool = False,
) -> str:
    """Save a tree as a safetensors file; when this returns, it survives a power failure.

    Args:
      path: the file, whose name ends in ``.safetensors``; one that is there is replaced at once.
      tree: any tree that `save` takes. Numbers, strings, None and empty containers go into the
        metadata, as JSON; only arrays are seen by other readers.
      separator: what stands between the keys in the names of arrays. The default is what Hugging
        Face uses; None if the tree is one dictionary.
      metadata: strings about the file.
      max_shard_bytes: from how many bytes of arrays on they are spread over several files, none
        larger than this but for the sake of one array. They are called
        ``model-00001-of-00003.safetensors``, with an index ``model.safetensors.index.json``.
      overwrite: whether an index of that name with its files is replaced, by one file or by
        several, and one file by several. The new files get other names where theirs are taken,
        the index changes at once, and then the old files go: if the program dies, the one or the
        other can be read.

    Returns:
      The path of the file, or of the index.

    Raises:
      CheckpointOptionError: if the name has another end, a key contains the separator, or several
        files would be mixed up with those that are there, and not `overwrite`.
      FormatLimitError: if the format cannot hold something, such as PRNG keys or int4.

    Example:
      >>> import tempfile, numpy as np
      >>> from ramie import checkpoint
      >>> with tempfile.TemporaryDirectory() as directory:
      ...   path = f"{directory}/model.safetensors"
      ...   _ = checkpoint.save_safetensors(path, {"dense": {"bias": np.ones(2)}, "step": 3})
      ...   checkpoint.load_safetensors(path)
      {'dense': {'bias': array([1., 1.])}, 'step': 3}
    """
    place = storage.local_path(path)
    if not place.endswith(shards.SUFFIX):
        raise CheckpointOptionError("path", place, f"its name does not end in {shards.SUFFIX}")
    leaves: dict[tuple[str, ...], Any] = {}
    _flatten(to_state_dict(tree), (), leaves)
    return shards.write(
        place, leaves, separator, metadata or {}, max_shard_bytes, overwrite=overwrite
    )


def load_safetensors(
    path: str | os.PathLike[str],
    target: Any = None,
    *,
    separator: str | None = ".",
    strict: bool = True,
    partial: bool = False,
) -> Any:
    """Read a safetensors file, or all files of an index, into a copy of a target.

    Files that Ramie wrote are compared with their checksums on the way.

    Args:
      path: the file, or the index, or a directory that has one file or one index.
      target: a tree of the structure that was saved, or None for nested dictionaries.
      separator: where the names are taken apart into keys; None for one dictionary by name.
      strict: whether arrays must have the shapes and dtypes of the target.
      partial: read what is there and can be read: whatever files of an index are there, with all
        their arrays, but those of dtypes that cannot be read. The rest stays as in the target.

    Raises:
      MalformedDataError: if a file is damaged or of another format; a ValueError.
      IncompleteCheckpointError: if an index lists more or less than there is, and not `partial`; a
        MalformedDataError.
      UnsupportedCheckpointError: if there are arrays of a dtype that cannot be read (those of 6
        bits), and not `partial`.
      CheckpointMismatchError: if the structure, a shape or a dtype does not match the target.
      CheckpointOptionError: if the names are no paths with this separator.
    """
    place = _only_set(storage.local_or_remote(path))
    form = recognise(place)
    if form not in ("safetensors", "safetensors index"):
        problem = f"it is a checkpoint of {form}, which ramie.checkpoint.restore reads"
        raise MalformedDataError(problem, source=place, writer="a writer of safetensors")
    state = load(place, form, separator=separator, partial=partial)
    if partial and target is not None:
        state = _filled(to_state_dict(target), state)
    return restore_into(target, state, place, strict=strict)


def _only_set(place: str) -> str:
    """Return the file or index in a directory that has just one; of other paths, the path."""
    if storage.kind_of(place) != "directory" or is_orbax(place):
        return place
    found = safetensors_index.sets_in(place)
    if len(found) != 1:
        names = ", ".join(map(os.path.basename, found[:4])) or "none"
        reason = f"one safetensors file or index has to be in it, and there are: {names}"
        raise CheckpointOptionError("path", place, reason)
    return found[0]


def _filled(wanted: Any, found: Any) -> Any:
    """Return what was found, and what was wanted where nothing was."""
    if not isinstance(wanted, Mapping) or not isinstance(found, Mapping):
        return found
    both = {key: _filled(value, found[key]) for key, value in wanted.items() if key in found}
    return {**wanted, **found, **both}


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    form: Format | None = None,
    separator: str | None = ".",
    overwrite: bool = False,
    max_shard_bytes: int | None = None,
    metadata: Mapping[str, str] | None = None,
    drop_metadata: bool = False,
    partial: bool = False,
    stack: str | None = None,
    unstack: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Write a checkpoint of one format in another; what is damaged is refused.

    Several safetensors files become one, and one becomes several, in the same way. The source
    stays as it is.

    Between files arrays go over one after the other, so that memory for the largest is enough. To
    Orbax directories it takes memory for all of them.

    Args:
      source: a msgpack file, a safetensors file, the index of several, or an Orbax directory.
      destination: the new file or directory.
      form: its format, whatever the name. By default safetensors if the name ends in
        ``.safetensors``, Orbax if it ends in ``.orbax``, else msgpack.
      separator: what stands between the keys in the names of a safetensors file.
      overwrite: whether the destination may exist; it is replaced at once, with `max_shard_bytes`
        as `save_safetensors` says.
      max_shard_bytes: as in `save_safetensors`.
      metadata: strings about a safetensors file, besides those that the source has.
      drop_metadata: leave out those that the source has. Only safetensors have a place for them;
        what says which library wrote the file (``format``) is left out without being asked.
      partial: of an index that promises more or less than there is, write what is there; and
        leave out arrays that cannot be read, where the new format is another.
      stack: a name such as ``layers``: the entries ``layers_0``, ``layers_1`` and so on, or those
        with only a number below it, become one entry with a first axis for them, as
        `linen.stack_layers` does. ``encoder/layers`` takes only those below ``encoder``. The format
        may stay the same then.
      unstack: such a name, to take the entry apart again; with a slash at its end (``layers/``) the
        numbers come below the name, as NNX has them.
      progress: is called with the source's name, how many bytes are done, and how many there are.

    Returns:
      The path of the new file, or of its index.

    Raises:
      CheckpointOptionError: if the destination exists, the format is the same and not safetensors,
        an option is for another format, or layers to stack are not there or not alike.
      MalformedDataError: if the source is damaged; a ValueError.
      IncompleteCheckpointError: if it is incomplete, and not `partial`; a MalformedDataError.
      UnsupportedCheckpointError: if it has arrays that cannot be read, and not `partial`.
      FormatLimitError: if the other format cannot hold something, metadata included.
    """
    old, new = storage.local_path(source), storage.local_path(destination)
    to = form or _form_by_name(new)
    _check_options(new, to, metadata, max_shard_bytes)
    check_options(old, new, stack, unstack)
    changes = stack is not None or unstack is not None
    found = recognise(old)
    if found == to != "safetensors" and not changes:
        raise CheckpointOptionError(
            "destination", new, f"it would have the format of the source, {to}; name another one"
        )
    _check_place(new, to, overwrite)
    # Verified, then written; what Orbax has is read before.
    passes = 3 if found == "orbax" != to else 2
    with watched(progress, os.path.basename(old), passes * _size_of(old, found)):
        try:
            check(old)
        except IncompleteCheckpointError:
            if not partial:
                raise
        stays = to == "safetensors" and found != "msgpack" and found != "orbax"
        kept = None if stays and not changes else separator
        whole = outline(old, separator=kept, partial=partial)
        read = {old, *(leaf.file for leaf in whole.leaves)}
        about = {**({} if drop_metadata else whole.metadata), **(metadata or {})}
        leaves = rearranged(whole.leaves, kept, stack, unstack)
        if to != "safetensors":
            leaves = sorted(leaves, key=lambda leaf: leaf.path)
            leaves = [leaf for leaf in leaves if not (partial and leaf.unread)]
        return _write(new, to, leaves, kept, about, max_shard_bytes, overwrite, read)


def _size_of(path: str, form: str) -> int:
    """Return the bytes of a checkpoint, for an index those of its files."""
    files = safetensors_index.files_of(path) if form == "safetensors index" else [path]
    return sum(storage.size_of(file) for file in files if storage.kind_of(file) != "absent")


def write_leaves(
    source: str,
    destination: str,
    leaves: Sequence[Leaf],
    *,
    form: Format | None,
    separator: str | None,
    overwrite: bool,
    metadata: Mapping[str, str],
    progress: Progress | None,
) -> str:
    """Write leaves of a checkpoint, whose paths may be others now, into a new one.

    Args:
      source: where they are; if it is damaged, nothing is written.
      destination: the new file or directory.
      leaves: what it is to hold, in this order.
      form, separator, overwrite, metadata, progress: as in `convert`.

    Returns:
      The path of the new file.

    Raises:
      CheckpointOptionError: if the destination exists or is the source.
      MalformedDataError: if the source is damaged; a ValueError.
      FormatLimitError: if the format cannot hold something.
    """
    to = form or _form_by_name(destination)
    if os.path.realpath(source) == os.path.realpath(destination):
        raise CheckpointOptionError("destination", destination, "it is the source; name a new one")
    _check_place(destination, to, overwrite)
    total = storage.size_of(source) + sum(leaf.nbytes for leaf in leaves)
    with watched(progress, os.path.basename(source), total):
        check(source)
        return _write(destination, to, leaves, separator, metadata, None, overwrite, {source})


def _write(
    path: str,
    form: str,
    leaves: Sequence[Leaf],
    separator: str | None,
    metadata: Mapping[str, str],
    max_shard_bytes: int | None,
    overwrite: bool,
    read: set[str],
) -> str:
    """Write leaves in a format; `read` is the file that they are read from meanwhile."""
    orbax_items.refuse_unread(leaves, form)
    if form == "safetensors":
        return shards.write(
            path,
            {leaf.path: leaf if leaf.is_array else leaf.value for leaf in leaves},
            separator,
            metadata,
            max_shard_bytes,
            # One file was named: several of that name are another checkpoint.
            overwrite=overwrite and max_shard_bytes is not None,
            spared={*read, *(leaf.file for leaf in leaves)},
        )
    _check_metadata(metadata, form)
    if form == "orbax":
        check_device()
    get = read_array if form == "orbax" else _deferred
    entries = [(leaf.path, _value(leaf, get)) for leaf in leaves]
    tree = nest(entries, separator)
    if form == "orbax":
        save_tree(os.path.abspath(path), orbax_saving.prepare(tree))
    else:
        write_file(path, msgpack.pieces(tree, path, None))
    return path


def _check_options(
    path: str, form: str, metadata: Mapping[str, str] | None, max_shard_bytes: int | None
) -> None:
    """Refuse what only safetensors have, for other formats, and the name of an index."""
    if path.endswith(safetensors_index.SUFFIX):
        stem = path.removesuffix(safetensors_index.SUFFIX)
        reason = f"an index is made with its files; name {stem}{shards.SUFFIX} and max_shard_bytes"
        raise CheckpointOptionError("destination", path, reason)
    if form == "safetensors":
        return
    for option, value in (("metadata", metadata), ("max_shard_bytes", max_shard_bytes)):
        if value:
            reason = f"only safetensors have a place for it, and {path!r} is to be {form}"
            raise CheckpointOptionError(option, value, reason)


def _check_metadata(metadata: Mapping[str, str], form: str) -> None:
    """Refuse to lose strings about a file that its new format has no place for."""
    lost = sorted(set(metadata) - {_ABOUT_THE_WRITER})
    if lost:
        raise FormatLimitError(
            {"orbax": "Orbax"}.get(form, form),
            f"metadata, such as {lost[0]!r}",
            "",
            "Pass drop_metadata=True to leave it out, or keep to safetensors",
        )


def _form_by_name(path: str) -> str:
    if path.endswith(shards.SUFFIX):
        return "safetensors"
    program = _OTHERS.get(os.path.splitext(path)[1].lower())
    if program:
        problem = f"it is named like a file of {program}, and none is written; name another one"
        hint = "such as one that ends in .safetensors, or pass form='msgpack'"
        raise CheckpointOptionError("destination", path, f"{problem}, {hint}")
    return "orbax" if path.endswith(".orbax") else "msgpack"


_OTHERS = {
    **dict.fromkeys((".pt", ".pth"), "PyTorch"),
    **dict.fromkeys((".npy", ".npz"), "NumPy"),
    **dict.fromkeys((".h5", ".hdf5"), "HDF5"),
    **{".keras": "Keras", ".gguf": "GGUF", ".onnx": "ONNX", ".pkl": "pickle", ".pickle": "pickle"},
}
"""Ends of names by which people and programs would take a file for another one than it is."""


def _check_place(path: str, form: str, overwrite: bool) -> None:
    there = storage.kind_of(path)
    problem = ""
    if there == "directory" and not (form == "orbax" and is_orbax(path)):
        problem = "it is a directory, which could not be replaced at once; name another one"
    elif there != "absent" and not overwrite:
        problem = "it exists; overwrite=True replaces it"
    if problem:
        raise CheckpointOptionError("destination", path, problem)


def _flatten(state: Any, path: tuple[str, ...], leaves: dict[tuple[str, ...], Any]) -> None:
    if isinstance(state, Mapping) and state:
        for key, value in state.items():
            _flatten(value, (*path, str(key)), leaves)
    elif isinstance(state, list) and state:
        for index, value in enumerate(state):
            _flatten(value, (*path, str(index)), leaves)
    else:
        leaves[path] = state


def _value(leaf: Leaf, get: Callable[[Leaf], Any]) -> Any:
    if not leaf.is_array:
        return leaf.value
    if leaf.note not in ("", "scalar"):
        return jax.random.wrap_key_data(jnp.asarray(read_array(leaf)), impl=leaf.note)
    return get(leaf)


def _deferred(leaf: Leaf) -> Any:
    """Return an array that takes no memory until it is written, one after the other.

    Not a map of the file: that would end the program if the file became shorter meanwhile.
    """
    if leaf.shape is None or leaf.dtype is None:
        return read_array(leaf)  # says why it cannot be
    return Deferred(leaf.shape, leaf.dtype, functools.partial(read_array, leaf))
