"""Exchange: safetensors files out of trees and back, and one format into another."""

import os
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ramie.checkpoint.formats import msgpack, orbax_saving, safetensors, safetensors_index
from ramie.checkpoint.formats.leaf import Leaf, read_array
from ramie.checkpoint.formats.match import restore_into
from ramie.checkpoint.formats.orbax import is_orbax
from ramie.checkpoint.formats.safetensors import Tensor
from ramie.checkpoint.inspecting.contents import load, nest, outline, recognise
from ramie.checkpoint.inspecting.health import check
from ramie.checkpoint.saving.directory_writer import save_tree
from ramie.checkpoint.saving.writer import write_file
from ramie.checkpoint.storage import entries as storage
from ramie.errors import CheckpointOptionError, MalformedDataError
from ramie.serialization.state_dict import to_state_dict

__all__ = ["convert", "load_safetensors", "save_safetensors"]

_SUFFIX = ".safetensors"


def save_safetensors(
    path: str | os.PathLike[str],
    tree: Any,
    *,
    separator: str | None = ".",
    metadata: Mapping[str, str] | None = None,
    max_shard_bytes: int | None = None,
) -> str:
    """Save a tree as a safetensors file; when this returns, it survives a power failure.

    Args:
      path: the file, whose name ends in ``.safetensors``; what is there is replaced at once.
      tree: any tree that `save` takes. Numbers, strings, None and empty containers go into the
        metadata, as JSON; only arrays are seen by other readers.
      separator: what stands between the keys in the names of arrays. The default is what Hugging
        Face uses; None if the tree is one dictionary.
      metadata: strings about the file.
      max_shard_bytes: from how many bytes of arrays on they are spread over several files, none
        larger than this but for the sake of one array. They are called
        ``model-00001-of-00003.safetensors``, with an index ``model.safetensors.index.json``.

    Returns:
      The path of the file, or of the index.

    Raises:
      CheckpointOptionError: if the name has another end, a key contains the separator, or files
        of that many parts are there already: they could not all be replaced at once.
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
    leaves: dict[tuple[str, ...], Any] = {}
    _flatten(to_state_dict(tree), (), leaves)
    return _write(storage.local_path(path), leaves, separator, metadata or {}, max_shard_bytes)


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
      path: the file, or the index.
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
    place = storage.local_or_remote(path)
    form = recognise(place)
    if form not in ("safetensors", "safetensors index"):
        problem = f"it is a checkpoint of {form}, which ramie.checkpoint.restore reads"
        raise MalformedDataError(problem, source=place, writer="a writer of safetensors")
    state = load(place, form, separator=separator, partial=partial)
    if partial and target is not None:
        state = _filled(to_state_dict(target), state)
    return restore_into(target, state, place, strict=strict)


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
    form: Literal["msgpack", "safetensors", "orbax"] | None = None,
    separator: str = ".",
    overwrite: bool = False,
    max_shard_bytes: int | None = None,
) -> str:
    """Write a checkpoint of one format in another; what is damaged is refused.

    Between files arrays go over one after the other, so that memory for the largest is enough. To
    and from Orbax directories it takes memory for all of them.

    Args:
      source: a msgpack file, a safetensors file, the index of several, or an Orbax directory.
      destination: the new file or directory.
      form: its format. By default safetensors if the name ends in ``.safetensors``, Orbax if it
        ends in ``.orbax``, else msgpack.
      separator: what stands between the keys in the names of a safetensors file.
      overwrite: whether the destination may exist; it is replaced at once.
      max_shard_bytes: as in `save_safetensors`.

    Returns:
      The path of the new file, or of its index.

    Raises:
      CheckpointOptionError: if the destination exists, or the format is the same.
      MalformedDataError: if the source is damaged; a ValueError.
      FormatLimitError: if the other format cannot hold something.
    """
    old, new = storage.local_path(source), storage.local_path(destination)
    to = form or _form_by_name(new)
    if recognise(old).removesuffix(" index") == to:
        raise CheckpointOptionError(
            "destination", new, f"it would have the format of the source, {to}; name another one"
        )
    _check_place(new, to, overwrite)
    check(old)
    whole = outline(old, separator=separator)
    if to == "safetensors":
        leaves = {leaf.path: leaf if leaf.is_array else leaf.value for leaf in whole.leaves}
        return _write(new, leaves, separator, whole.metadata, max_shard_bytes)
    entries = [
        (leaf.path, _mapped(leaf) if leaf.is_array else leaf.value)
        for leaf in sorted(whole.leaves, key=lambda leaf: leaf.path)
    ]
    tree = nest(entries, separator)
    if to == "orbax":
        save_tree(os.path.abspath(new), orbax_saving.prepare(tree))
    else:
        write_file(new, msgpack.pieces(tree, new, None))
    return new


def _form_by_name(path: str) -> str:
    if path.endswith(_SUFFIX):
        return "safetensors"
    return "orbax" if path.endswith(".orbax") else "msgpack"


def _check_place(path: str, form: str, overwrite: bool) -> None:
    there = storage.kind_of(path)
    problem = ""
    if there != "absent" and not overwrite:
        problem = "it exists, and overwrite is off"
    elif there == "directory" and not (form == "orbax" and is_orbax(path)):
        problem = "it is a directory, which could not be replaced at once"
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


def _mapped(leaf: Leaf) -> Any:
    """Return an array whose memory is the file itself, so that it takes none until it is used."""
    if leaf.note not in ("", "scalar"):
        return jax.random.wrap_key_data(jnp.asarray(read_array(leaf)), impl=leaf.note)
    if len(leaf.spans) != 1 or not leaf.nbytes or leaf.dtype == np.bool_:
        return read_array(leaf)  # checked on the way, or nothing to map
    raw = np.memmap(leaf.file, np.uint8, "r", leaf.spans[0][0], (leaf.nbytes,))
    view = np.frombuffer(raw, leaf.dtype)
    return view.reshape(leaf.shape or ())


def _write(
    path: str,
    leaves: Mapping[tuple[str, ...], Any],
    separator: str | None,
    metadata: Mapping[str, str],
    max_shard_bytes: int | None,
) -> str:
    if not path.endswith(_SUFFIX):
        raise CheckpointOptionError("path", path, f"its name does not end in {_SUFFIX}")
    if max_shard_bytes is not None and max_shard_bytes < 1:
        raise CheckpointOptionError("max_shard_bytes", max_shard_bytes, "it is not positive")
    tensors, values = safetensors.plan(leaves, separator)
    total = sum(tensor.nbytes for tensor in tensors)
    if max_shard_bytes is None or total <= max_shard_bytes:
        write_file(
            path, safetensors.pieces(safetensors.header_bytes(tensors, metadata, values), tensors)
        )
        return path
    stem = path.removesuffix(_SUFFIX)
    shards = _shards(tensors, max_shard_bytes)
    files = [
        f"{stem}-{number:05}-of-{len(shards):05}{_SUFFIX}" for number in range(1, len(shards) + 1)
    ]
    index = stem + safetensors_index.SUFFIX
    there = [file for file in [*files, index] if storage.kind_of(file) != "absent"]
    if there:
        raise CheckpointOptionError(
            "path", path, f"{there[0]!r} exists, and several files cannot be replaced at once"
        )
    for number, (file, shard) in enumerate(zip(files, shards, strict=True)):
        head = safetensors.header_bytes(shard, metadata, {} if number else values)
        write_file(file, safetensors.pieces(head, shard))
    page = safetensors_index.page(
        {os.path.basename(file): shard for file, shard in zip(files, shards, strict=True)}
    )
    write_file(index, [page])  # last: without it, the others are not looked at
    return index


def _shards(tensors: list[Tensor], limit: int) -> list[list[Tensor]]:
    """Deal arrays out to files, in order, each file as full as the limit lets it be."""
    shards: list[list[Tensor]] = [[]]
    room = limit
    for tensor in tensors:
        if tensor.nbytes > room and shards[-1]:
            shards.append([])
            room = limit
        shards[-1].append(tensor)
        room -= tensor.nbytes
    return shards
