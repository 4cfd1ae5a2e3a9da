"""Folders: checkpoints that are directories, made and replaced as safely as files are.

A directory is written inside a staging directory whose name no reader looks at, and which its
writer holds by a lock of the kernel. Each file in it is synced and summed up, the sums go into a
manifest, and one rename puts the directory into its place. Where something is there already, the
two swap places in one step, so that a checkpoint of this name is there at every moment.
"""

import json
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from ramie.checkpoint.storage import commit, integrity
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage.summing import sum_up_file
from ramie.errors import DamagedCheckpointError, MalformedDataError

__all__ = [
    "FolderRecord",
    "Share",
    "check",
    "describe",
    "join_notes",
    "note",
    "publish",
    "settle",
]

_VERSION = 2
_LIMIT = 1 << 28


class FolderRecord(NamedTuple):
    """What is known of the content of a directory.

    Attributes:
      files: the record of each file, by its path in the directory.
      inode: the number by which the file system knows the directory.
    """

    files: dict[str, integrity.Record]
    inode: int


# --- settling -------------------------------------------------------------------------------------


Share = tuple[int, int]
"""Which part of the files is meant: the number of a process, and how many there are."""

_WHOLE = (0, 1)


def settle(folder: str, share: Share = _WHOLE) -> FolderRecord:
    """Sync files and directories below a directory, and sum the files up."""
    inode = os.stat(folder).st_ino
    files = {}
    for place in _share(storage.files_below(folder), share):
        with open(place, "rb", buffering=0) as file:
            os.fsync(file.fileno())
            files[os.path.relpath(place, folder)] = sum_up_file(file.fileno(), integrity.CHUNK)
    for parent, _, _ in os.walk(folder, topdown=False):
        storage.sync_directory(parent)
    return FolderRecord(files, inode)


def _share(files: list[str], share: Share) -> list[str]:
    number, count = share
    return files[number::count]


def note(path: str, record: FolderRecord) -> None:
    """Write what one process has found to a file, for the first to join by `join_notes`."""
    with open(path, "wb") as file:
        file.write(_encode(path, [record], 0))


def join_notes(paths: Iterable[str]) -> FolderRecord:
    """Return what several processes have found together."""
    found = [_parse(path)[0][0] for path in paths]
    files = {name: record for part in found for name, record in part.files.items()}
    return FolderRecord(dict(sorted(files.items())), found[0].inode)


# --- publishing -----------------------------------------------------------------------------------


def publish(staged: str, sheet: commit.Staged, final: str, record: FolderRecord) -> None:
    """Put a settled directory into its place; what is there goes to the staging directory.

    The caller holds `commit.directory_lock`.

    Args:
      staged: the new directory, in a staging directory.
      sheet: an open temporary file, for the manifest.
      final: the path of the checkpoint.
      record: what `settle` returned.
    """
    try:
        before = _read(final)[0][:1]
    except MalformedDataError:  # it is about to be replaced
        before = []
    directory = os.path.dirname(final)
    sheet.write([_encode(final, [record, *before], sheet.inode)])
    # On a fresh name nobody looks before the directory is there, and one sync serves both.
    sheet.publish(integrity.manifest_path(final), sync=storage.kind_of(final) != "absent")
    if storage.kind_of(final) == "absent":
        os.rename(staged, final)
    else:
        _swap(staged, final)
    storage.sync_directory(directory)


def describe(final: str, sheet: commit.Staged, record: FolderRecord) -> None:
    """Give a manifest to a directory that is in its place already, and sync its name.

    The caller holds `commit.directory_lock`.
    """
    sheet.write([_encode(final, [record], sheet.inode)])
    sheet.publish(integrity.manifest_path(final))


def _swap(staged: str, final: str) -> None:
    if storage.exchange(staged, final):
        return
    # Two steps, where the file system knows no single one. `commit.clean_leftovers` puts back
    # what stands aside if we die between them.
    aside = os.path.join(os.path.dirname(staged), commit.ASIDE)
    os.mkdir(aside)
    os.rename(final, os.path.join(aside, os.path.basename(final)))
    os.rename(staged, final)


# --- manifests ------------------------------------------------------------------------------------


def _encode(path: str, records: Iterable[FolderRecord], inode: int) -> bytes:
    page = {
        "version": _VERSION,
        "directory": os.path.basename(path),
        "algorithm": "xxh3_64",
        "inode": inode,
        "contents": [
            {
                "inode": record.inode,
                "files": {name: file._asdict() for name, file in record.files.items()},
            }
            for record in records
        ],
    }
    return json.dumps(page, indent=1).encode() + b"\n"


def _read(path: str) -> tuple[list[FolderRecord], bool]:
    """Return what the manifest of a directory says, and whether it was copied with it.

    Raises:
      MalformedDataError: if there is one and it cannot be read.
    """
    place = integrity.manifest_path(path)
    return _parse(place) if storage.kind_of(place) == "file" else ([], False)


def _parse(place: str) -> tuple[list[FolderRecord], bool]:
    with open(place, "rb") as file:
        number = os.fstat(file.fileno()).st_ino
        text = file.read(min(os.fstat(file.fileno()).st_size, _LIMIT))
    try:
        page = json.loads(text)
        if page["version"] != _VERSION:
            return [], False  # of a file of this name, or of a later Ramie
        return [_record(content) for content in page["contents"]], page["inode"] != number
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedDataError(
            f"an entry of the manifest is missing or malformed ({error})", source=place
        ) from error


def _record(content: dict[str, Any]) -> FolderRecord:
    files = {name: integrity.parse_record(file) for name, file in content["files"].items()}
    if type(content["inode"]) is not int or not all(map(_stays_inside, files)):
        raise ValueError(f"a name or number is not allowed: {str(content)[:80]}")
    return FolderRecord(files, content["inode"])


def _stays_inside(name: str) -> bool:
    """Tell whether a path names a file below the directory that it is relative to."""
    is_absolute = name.startswith("/") or os.path.isabs(name)
    return not is_absolute and "\0" not in name and ".." not in name.split("/")


def check(path: str, share: Share = _WHOLE) -> bool:
    """Compare the files of a directory with its manifest.

    Args:
      path: the directory.
      share: which of the files to compare.

    Returns:
      Whether there is a manifest that speaks of this directory.

    Raises:
      DamagedCheckpointError: if a file is missing, or is not what was saved; names it.
      MalformedDataError: if the manifest cannot be read, which is damage too.
    """
    records, copied = _read(path)
    number = os.stat(path).st_ino
    known = [record for record in records if record.inode == number]
    if not known and copied:
        known = records
    if not known:
        return False
    damages = [_damage(path, record, share) for record in known]
    first = damages[0]
    if first is not None and None not in damages:
        raise DamagedCheckpointError(*first)
    return True


def _damage(
    path: str, record: FolderRecord, share: Share
) -> tuple[str, list[tuple[int, int]]] | None:
    """Return the first file that differs from a record, and where; None if all are the same."""
    for name in _share(list(record.files), share):
        expected = record.files[name]
        place = os.path.join(path, name)
        try:
            with open(place, "rb", buffering=0) as file:
                ranges = expected.damage(sum_up_file(file.fileno(), expected.chunk))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return place, [(0, expected.size)]
        if ranges:
            return place, ranges
    return None
