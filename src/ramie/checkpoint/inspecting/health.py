"""Health: whether a checkpoint file is still what was saved, without restoring it."""

import io
import os
from typing import Literal, NamedTuple

from ramie.checkpoint.formats import msgpack, orbax, safetensors
from ramie.checkpoint.formats.leaf import read_array
from ramie.checkpoint.inspecting.contents import recognise
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import folders, integrity, remote
from ramie.errors import CheckpointNotFoundError, CheckpointOptionError, MalformedDataError

__all__ = ["Health", "check", "verify"]

_PIECE = 1 << 22


class Health(NamedTuple):
    """What `verify` found.

    Attributes:
      state: "intact" if the checksums are those of the save; "readable" if there are none to
        compare with, and the file can be read as a whole; "damaged" otherwise.
      problem: what is wrong with a damaged file, else the empty string.
    """

    state: Literal["intact", "readable", "damaged"]
    problem: str = ""


def verify(path: str | os.PathLike[str]) -> Health:
    """Check a checkpoint of any format; it is read, and nothing is changed.

    What has a manifest takes no memory to check. One without, written by Flax for instance, is
    read as for a restore.

    Args:
      path: the checkpoint.

    Raises:
      CheckpointNotFoundError: if there is nothing at the path.
      CheckpointOptionError: if it is neither a regular file nor a directory that Orbax made.
      OSError: if it cannot be read.

    Example:
      >>> import tempfile
      >>> from ramie import checkpoint
      >>> with tempfile.TemporaryDirectory() as directory:
      ...   checkpoint.verify(checkpoint.save(directory, {"a": 1}, step=1)).state
      'intact'
    """
    place = storage.local_or_remote(path)
    kind = storage.kind_of(place)
    if kind == "absent":
        raise CheckpointNotFoundError(*os.path.split(place), None)
    if kind == "other":
        raise CheckpointOptionError("path", place, "it is no regular file and no directory")
    try:
        return Health("intact" if check(place) else "readable")
    except MalformedDataError as error:
        return Health("damaged", str(error))


def check(place: str) -> bool:
    """Check a file and all that it refers to, or an Orbax directory, as `verify` does.

    Returns:
      Whether there were checksums to compare with.

    Raises:
      MalformedDataError: if it is damaged.
    """
    if remote.is_remote(place):
        msgpack.read(place)
        return storage.kind_of(integrity.manifest_path(place)) == "file"
    form = recognise(place)
    if form == "orbax":
        if folders.check(place):
            return True
        for leaf in orbax.outline(orbax.tree_directory(place)):
            if leaf.is_array:
                read_array(leaf)
        return False
    if form == "safetensors index":
        files = {leaf.file for leaf in safetensors.outline_index(place).leaves}
        summed = [_is_summed_up(place), *map(check, sorted(files))]
        return all(summed)
    if _is_summed_up(place):
        return True
    if form == "safetensors":
        header = safetensors.outline(place)
        for leaf in header.leaves:
            read_array(leaf)
    else:
        msgpack.read(place)
    return False


def _is_summed_up(place: str) -> bool:
    manifest = integrity.read_manifest(place)
    return manifest is not None and _sum_up(place, manifest)


def _sum_up(path: str, manifest: integrity.Manifest) -> bool:
    """Compare a file with its manifest; tell whether the manifest speaks of this file at all."""
    with io.FileIO(path) as file:
        inode = os.fstat(file.fileno()).st_ino
        if not manifest.records or not manifest.speaks_of(inode):
            return False
        checksum = integrity.Checksum(manifest.records[0].chunk)
        try:
            while piece := file.read(_PIECE):
                checksum.add(piece)
            integrity.compare(path, manifest, checksum.record(), inode)
        finally:
            checksum.close()
    return True
