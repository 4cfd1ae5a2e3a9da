"""One file that holds the msgpack bytes of a state dict, as Flax's classic checkpoints do."""

import io
import os
import stat
from collections.abc import Iterator
from typing import Any

import jax

from ramie.checkpoint.storage import integrity, parallel, remote
from ramie.errors import CheckpointOptionError, MPACheckpointingRequiredError
from ramie.serialization.codec import state_pieces
from ramie.serialization.decode import decode
from ramie.serialization.decode_layers import Forms
from ramie.serialization.decode_whole import Pages, decode_whole

__all__ = ["is_spread", "pieces", "read"]

_LARGE = 1 << 22
"""Bytes of a file from which on it is read into large pages, of 2 MiB on most machines."""


def pieces(state: Any, path: str, step: Any) -> Iterator[Any]:
    """Yield the content of a checkpoint file; large arrays as views of their own memory.

    Args:
      state: the state dict to save.
      path: the checkpoint that is made of it, for error messages.
      step: its step, likewise.

    Raises:
      MPACheckpointingRequiredError: if an array lies partly in other processes.
    """
    try:
        yield from state_pieces(state)
    except ValueError as error:
        # Asked only now: looking at each of many small arrays takes longer than writing them.
        if any(map(is_spread, jax.tree_util.tree_leaves(state))):
            raise MPACheckpointingRequiredError(path, step) from error
        raise


def is_spread(leaf: Any) -> bool:
    """Tell whether this process can reach only a part of an array."""
    if not isinstance(leaf, jax.Array) or isinstance(leaf, jax.core.Tracer):
        return False
    return not (leaf.is_fully_addressable or leaf.is_fully_replicated)


def read(path: str, forms: Forms | None = None) -> Any:
    """Return the state dict in a checkpoint file; each array is read into its own memory.

    If the file has a manifest, everything read is compared with the checksums there.

    Args:
      path: the file.
      forms: see `decode_whole`.

    Raises:
      DamagedCheckpointError: if it is not what was saved; a MalformedDataError.
      MalformedDataError: if there is no manifest and the file is damaged, or no checkpoint.
      CheckpointOptionError: if the path is a device, a pipe or the like.
    """
    manifest = integrity.read_manifest(path)
    if remote.is_remote(path):
        return integrity.read_uploaded(
            path, manifest, lambda stream, size: decode(stream, size, path)
        )
    # Without O_NONBLOCK, opening a pipe that took a checkpoint's name would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with io.FileIO(descriptor) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointOptionError("path", path, "it is not a regular file")
        if manifest is not None and not manifest.records:
            manifest = None
        if status.st_size < parallel.SMALLEST:
            return _read_whole(path, file, status, manifest, forms)
        return _read_in_parallel(path, status, descriptor, manifest)


def _read_whole(
    path: str,
    file: io.FileIO,
    status: os.stat_result,
    manifest: integrity.Manifest | None,
    forms: Forms | None,
) -> Any:
    data = _content(file, status.st_size)
    if manifest is not None:
        found = integrity.sum_up(memoryview(data), manifest.records[0].chunk)
        integrity.compare(path, manifest, found, status.st_ino)
    return decode_whole(data, path, forms)


def _content(file: io.FileIO, size: int) -> bytes | Pages:
    """Return the bytes of a file, in large pages if they fill some."""
    if size < _LARGE:
        return file.read()
    pages, start = Pages(size), 0
    with memoryview(pages) as memory:
        while start < size and (count := file.readinto(memory[start:])):
            start += count
    rest = file.read()  # of a file that is being written; one that ended early has none
    return pages if start == size and not rest else pages[:start] + rest


def _read_in_parallel(
    path: str, status: os.stat_result, descriptor: int, manifest: integrity.Manifest | None
) -> Any:
    chunk = manifest.records[0].chunk if manifest is not None else 0
    stream = parallel.ParallelStream(descriptor, status.st_size, chunk, path)
    try:
        try:
            return decode(stream, status.st_size, path, stream.settle)
        finally:
            # Also when decoding failed: the checksums tell damage from a file of another kind.
            found = stream.record()
            if manifest is not None:
                integrity.compare(path, manifest, found, status.st_ino)
    finally:
        stream.close()
