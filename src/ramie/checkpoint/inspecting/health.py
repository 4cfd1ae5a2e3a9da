"""Health: whether a checkpoint file is still what was saved, without restoring it."""

import io
import os
from typing import Literal, NamedTuple

from ramie.checkpoint.formats import msgpack, orbax_items, safetensors, safetensors_index
from ramie.checkpoint.formats import safetensors_types as types
from ramie.checkpoint.formats.leaf import read_array
from ramie.checkpoint.inspecting.contents import Form, recognise
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import folders, integrity, remote
from ramie.checkpoint.storage.progress import Progress, watched
from ramie.checkpoint.storage.summing import sum_up_file
from ramie.errors import (
    CheckpointNotFoundError,
    CheckpointOptionError,
    ForeignFileError,
    IncompleteCheckpointError,
    MalformedDataError,
)

__all__ = ["Health", "check", "is_good", "verify"]


class Health(NamedTuple):
    """What `verify` found.

    Attributes:
      state: "intact" if the checksums are those of the save; "readable" if there are none to
        compare with, and the file can be read as a whole; "incomplete" if it is the index of
        several files, or the step of a manager, and lists more or less than there is; "foreign"
        if it is in order and of a kind that is no checkpoint; "damaged" otherwise.
      problem: what is wrong with what cannot be restored; which items of a step are not read, as
        no known handler wrote them; else the empty string.
    """

    state: Literal["intact", "readable", "incomplete", "foreign", "damaged"]
    problem: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it can be restored, as far as one can tell."""
        return self.state in ("intact", "readable")


def verify(path: str | os.PathLike[str], *, progress: Progress | None = None) -> Health:
    """Check a checkpoint of any format; it is read, and nothing is changed.

    What has a manifest takes no memory to check. One without, written by Flax for instance, is
    read as for a restore.

    Args:
      path: the checkpoint.
      progress: is called with its name, how many bytes are read, and how many there are.

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
        raise CheckpointOptionError("path", place, "it is neither a regular file nor a directory")
    total = storage.size_of(place) if progress else 0
    try:
        with watched(progress, os.path.basename(place), total):
            is_summed_up = check(place)
        if is_summed_up:
            return Health("intact")
        return Health("readable", orbax_items.unread(place) if kind == "directory" else "")
    except IncompleteCheckpointError as error:
        return Health("incomplete", str(error))
    except ForeignFileError as error:
        return Health("foreign", str(error))
    except MalformedDataError as error:
        return Health("damaged", str(error))


def is_good(path: str) -> bool:
    """Tell whether a checkpoint can be restored; what cannot even be looked at cannot.

    Raises:
      MissingExtraError: if it takes a package to tell.
    """
    try:
        return verify(path).is_good
    except (OSError, CheckpointOptionError, CheckpointNotFoundError):
        return False


def check(place: str) -> bool:
    """Check a file and all that it refers to, or an Orbax directory, as `verify` does.

    Returns:
      Whether there were checksums to compare with.

    Raises:
      MalformedDataError: if it is damaged.
    """
    form = recognise(place)
    if remote.is_remote(place):
        return _check_remote(place, form)
    if form == "orbax":
        if folders.check(place):
            return True
        orbax_items.check(place)
        return False
    if form == "safetensors index":
        return safetensors_index.steady(place, lambda: _check_set(place))
    if _is_summed_up(place):
        return True
    if form == "safetensors":
        header = safetensors.outline(place)
        for leaf in header.leaves:
            read_array(types.raw(leaf) if leaf.unread else leaf)
    else:
        msgpack.read(place)
    return False


def _check_set(index: str) -> bool:
    """Check the files of an index: damage of one that is there is worse than lack of another."""
    summed = [_is_summed_up(index), *map(check, safetensors_index.survey(index).files)]
    safetensors_index.outline(index)
    return all(summed)


def _check_remote(place: str, form: Form) -> bool:
    """Read a file behind a URL, and the files of an index; tell whether there are checksums."""
    files = [place]
    if form == "safetensors index":
        files = safetensors_index.outline(place).files
    for file in files:
        if form == "msgpack":
            msgpack.read(file)
        elif form != "orbax":
            safetensors.read(file, partial=True)
    return all(storage.kind_of(integrity.manifest_path(file)) == "file" for file in files)


def _is_summed_up(place: str) -> bool:
    manifest = integrity.read_manifest(place)
    return manifest is not None and _sum_up(place, manifest)


def _sum_up(path: str, manifest: integrity.Manifest) -> bool:
    """Compare a file with its manifest; tell whether the manifest speaks of this file at all."""
    with io.FileIO(path) as file:
        inode = os.fstat(file.fileno()).st_ino
        if not manifest.records or not manifest.speaks_of(inode):
            return False
        found = sum_up_file(file.fileno(), manifest.records[0].chunk)
        integrity.compare(path, manifest, found, inode)
    return True
