"""Safetensors to disk: one file, or a set of files with an index that is replaced as a whole.

The files of a new set get names that no file of the old one has. Then its index takes the place of
the old index, in one step, and only then the old files are removed: a reader who goes by the index
finds one of the two sets, whenever the writer dies.
"""

import os
import re
from collections.abc import Collection, Mapping
from typing import Any

from ramie.checkpoint.formats import safetensors, safetensors_index
from ramie.checkpoint.formats.safetensors import Tensor
from ramie.checkpoint.saving.writer import write_file
from ramie.checkpoint.storage import commit, integrity
from ramie.checkpoint.storage import entries as storage
from ramie.errors import CheckpointOptionError

__all__ = ["SUFFIX", "write"]

SUFFIX = ".safetensors"
"""How the name of a file ends."""


def write(
    path: str,
    leaves: Mapping[tuple[str, ...], Any],
    separator: str | None,
    metadata: Mapping[str, str],
    max_shard_bytes: int | None,
    *,
    overwrite: bool,
    spared: Collection[str] = (),
) -> str:
    """Write arrays and plain values as one file, or as several with an index.

    Args:
      path: the file; the names of several are made of it.
      leaves: arrays and plain values by path.
      separator: what stands between the keys in the names of arrays.
      metadata: strings about the file.
      max_shard_bytes: from how many bytes of arrays on there are several files.
      overwrite: whether files of the same name, be they one or several, are replaced by all this.
      spared: files that are not removed: those that are read meanwhile.

    Returns:
      The path of the file, or of the index.

    Raises:
      CheckpointOptionError: if `max_shard_bytes` is not positive, or several files would be mixed
        up with what is there, and not `overwrite`.
      FormatLimitError: if the format cannot hold something.
    """
    if max_shard_bytes is not None and max_shard_bytes < 1:
        raise CheckpointOptionError("max_shard_bytes", max_shard_bytes, "it is not positive")
    tensors, values = safetensors.plan(leaves, separator)
    stem = path.removesuffix(SUFFIX)
    kept = set(map(os.path.realpath, spared))
    old = [file for file in _set_of(stem) if os.path.realpath(file) not in kept]
    total = sum(tensor.nbytes for tensor in tensors)
    if max_shard_bytes is None or total <= max_shard_bytes:
        head = safetensors.header_bytes(tensors, metadata, values)
        write_file(path, safetensors.pieces(head, tensors))
        if overwrite:
            _remove(path, old)
        return path
    if storage.kind_of(path) != "absent" and os.path.realpath(path) not in kept:
        old.append(path)
    if old and not overwrite:
        raise CheckpointOptionError(
            "path", path, f"{old[0]!r} exists; overwrite=True replaces the whole set"
        )
    index = stem + safetensors_index.SUFFIX
    shards = _deal(tensors, max_shard_bytes)
    files = _free_names(stem, len(shards))
    for number, (file, shard) in enumerate(zip(files, shards, strict=True)):
        head = safetensors.header_bytes(shard, metadata, {} if number else values)
        write_file(file, safetensors.pieces(head, shard))
    names = map(os.path.basename, files)
    write_file(index, [safetensors_index.page(dict(zip(names, shards, strict=True)))])
    if overwrite:
        _remove(path, [file for file in old if file != index])
    return index


def _set_of(stem: str) -> list[str]:
    """Return the files that are there of a set: the index first, so that it is removed first."""
    folder, name = os.path.split(stem)
    shard = re.compile(re.escape(name) + r"(-set\d+)?-\d{5}-of-\d{5}\.safetensors")
    found = sorted(filter(shard.fullmatch, storage.list_names(folder or ".")))
    index = stem + safetensors_index.SUFFIX
    there = [index] if storage.kind_of(index) != "absent" else []
    return there + [os.path.join(folder, file) for file in found]


def _free_names(stem: str, count: int) -> list[str]:
    """Return names for the files of a set, none of which is taken."""
    number = 1
    while True:
        start = stem if number == 1 else f"{stem}-set{number}"
        files = [f"{start}-{shard:05}-of-{count:05}{SUFFIX}" for shard in range(1, count + 1)]
        if all(storage.kind_of(file) == "absent" for file in files):
            return files
        number += 1


def _remove(path: str, files: list[str]) -> None:
    """Remove files beside a path, and manifests that a writer which died left without a file."""
    folder = os.path.dirname(os.path.abspath(path))
    with commit.directory_lock(folder):
        for file in files:
            integrity.remove_with_manifest(file)
        integrity.remove_orphans(folder)
        storage.sync_directory(folder)


def _deal(tensors: list[Tensor], limit: int) -> list[list[Tensor]]:
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
