"""One file that holds the msgpack bytes of a state dict, as Flax's classic checkpoints do."""

import io
import os
import stat
from collections.abc import Iterator
from typing import Any

import jax

from ramie.checkpoint import integrity
from ramie.errors import CheckpointOptionError, MPACheckpointingRequiredError
from ramie.serialization import state_pieces
from ramie.serialization.decode import decode

__all__ = ["is_spread", "pieces", "read"]

_BUFFER = 1 << 16


def pieces(state: Any, path: str, step: Any) -> Iterator[Any]:
    """Yield the content of a checkpoint file; large arrays as views of their own memory.

    Args:
      state: the state dict to save.
      path: the checkpoint that is made of it, for error messages.
      step: its step, likewise.

    Raises:
      MPACheckpointingRequiredError: if an array lies partly in other processes.
    """
    for leaf in jax.tree_util.tree_leaves(state):
        if is_spread(leaf):
            raise MPACheckpointingRequiredError(path, step)
    yield from state_pieces(state)


def is_spread(leaf: Any) -> bool:
    """Tell whether this process can reach only a part of an array."""
    if not isinstance(leaf, jax.Array) or isinstance(leaf, jax.core.Tracer):
        return False
    return not (leaf.is_fully_addressable or leaf.is_fully_replicated)


def read(path: str) -> Any:
    """Return the state dict in a checkpoint file; each array is read into its own memory.

    If the file has a manifest, everything read is compared with the checksums there.

    Raises:
      DamagedCheckpointError: if it is not what was saved; a MalformedDataError.
      MalformedDataError: if there is no manifest and the file is damaged, or no checkpoint.
      CheckpointOptionError: if the path is a device, a pipe or the like.
    """
    manifest = integrity.read_manifest(path)
    # Without O_NONBLOCK, opening a pipe that took a checkpoint's name would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with io.FileIO(descriptor) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointOptionError("path", path, "it is not a regular file")
        if manifest is None or not manifest.records:
            with io.BufferedReader(file, _BUFFER) as buffered:
                return decode(buffered, status.st_size, source=path)
        return _read_checked(path, file, status, manifest)


def _read_checked(
    path: str, file: io.FileIO, status: os.stat_result, manifest: integrity.Manifest
) -> Any:
    checksum = integrity.Checksum(manifest.records[0].chunk)
    stream = integrity.CheckedStream(file, checksum)
    try:
        try:
            return decode(stream, status.st_size, source=path)
        finally:
            # Also when decoding failed: the checksums tell damage from a file of another kind.
            stream.drain()
            integrity.compare(path, manifest, checksum.record(), status.st_ino)
    finally:
        checksum.close()
