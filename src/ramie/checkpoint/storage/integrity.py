"""Integrity: checksums of checkpoint files, kept beside them in hidden manifests.

Disks, networks and copying programs change bits without telling anyone. The manifest of
``checkpoint_5`` is ``.checkpoint_5.ramie.json``: the size of the file and the XXH3 checksum of each
of its chunks, so that damage is found, and found where it is. Readers that do not know manifests
do not see them.

A manifest is in place before the file that it speaks of, and when a file is replaced it speaks of
both the old and the new one: whichever a crash leaves behind can be checked.

Reference:
  Collet, "xxHash fast digest algorithm", the 64-bit variant XXH3.
"""

import io
import itertools
import json
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import remote
from ramie.checkpoint.storage.progress import advance, unwatched
from ramie.checkpoint.storage.threads import started
from ramie.errors import DamagedCheckpointError, MalformedDataError

__all__ = [
    "Checksum",
    "Manifest",
    "Record",
    "SummedStream",
    "checked",
    "compare",
    "encode_manifest",
    "manifest_path",
    "parse_record",
    "read_manifest",
    "read_uploaded",
    "remove_orphans",
    "remove_with_manifest",
    "sum_up",
]

T = TypeVar("T")

CHUNK = 1 << 24
"""Bytes that one checksum speaks of."""

_BUFFER = 1 << 20
_LARGEST_COPY = 1 << 22
_SMALLEST_CHUNK = 1 << 12
BESIDE = "_gda"
"""What a directory of arrays is called, after the name of the file of Flax that they belong to."""

_SUFFIX = ".ramie.json"
_VERSION = 1
_PENDING = 8
_MANIFEST_LIMIT = 1 << 26


class Record(NamedTuple):
    """What is known of one content of a file.

    Attributes:
      size: its length in bytes.
      chunk: bytes per checksum.
      checksums: XXH3-64 of each chunk, in hexadecimal.
      inode: the number by which the file system knows the file, 0 if it is not known.
    """

    size: int
    chunk: int
    checksums: tuple[str, ...]
    inode: int = 0

    def damage(self, other: "Record") -> list[tuple[int, int]]:
        """Return the ranges of bytes in which another content differs; `other` has our chunks."""
        ranges: list[tuple[int, int]] = []
        longest = max(self.size, other.size)
        pairs = itertools.zip_longest(self.checksums, other.checksums)
        for index, (ours, theirs) in enumerate(pairs):
            if ours == theirs:
                continue
            start, end = index * self.chunk, min((index + 1) * self.chunk, longest)
            if ranges and ranges[-1][1] == start:
                start = ranges.pop()[0]
            ranges.append((start, end))
        return ranges


class Manifest(NamedTuple):
    """What a manifest says.

    Attributes:
      records: the contents that the file may have, the newest first.
      inode: the file system's number of the manifest itself when it was written.
      copied: whether it is another file now, and so was copied or restored from a backup.
    """

    records: tuple[Record, ...]
    inode: int
    copied: bool

    def speaks_of(self, inode: int) -> bool:
        """Tell whether it speaks of the file of this number.

        Another program may have put its own file in the place of ours; then the manifest, where
        we left it, knows a file that is gone. In a copied directory all numbers are new.
        """
        known = {record.inode for record in self.records}
        return self.copied or 0 in known or inode in known


class Checksum:
    """Checksums of a stream of bytes, taken in a thread while the caller reads or writes them."""

    def __init__(self, chunk: int = CHUNK) -> None:
        import xxhash

        self._new = xxhash.xxh3_64
        self._chunk = chunk
        self._hash = self._new()
        self._room = chunk
        self._size = 0
        self._done: list[str] = []
        self._queue: queue.Queue[Any] = queue.Queue(_PENDING)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="ramie-checksum", daemon=True)
        self._is_threaded = started(self._thread)

    def add(self, piece: Any) -> None:
        """Append bytes; their memory must stay as it is until `record` or `close` returns."""
        if self._is_threaded:
            view = memoryview(piece)
            advance(view.nbytes)
            self._queue.put(view)
            return
        with memoryview(piece) as view:
            advance(view.nbytes)
            self._update(view)

    def record(self, inode: int = 0) -> Record:
        """Wait for everything added, and return what was found."""
        self.close()
        if self._failure is not None:
            raise self._failure
        last = [self._hash.hexdigest()] if self._room < self._chunk else []
        return Record(self._size, self._chunk, (*self._done, *last), inode)

    def close(self) -> None:
        """Let go of all memory that was added."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (piece := self._queue.get()) is not None:
            with piece:
                if self._failure is None:
                    try:
                        self._update(piece)
                    except BaseException as failure:  # whoever waits for the queue must not hang
                        self._failure = failure
            del piece

    def _update(self, piece: memoryview) -> None:
        self._size += len(piece)
        while len(piece) >= self._room:
            self._hash.update(piece[: self._room])
            self._done.append(self._hash.hexdigest())
            piece = piece[self._room :]
            self._hash, self._room = self._new(), self._chunk
        self._hash.update(piece)
        self._room -= len(piece)


def sum_up(data: bytes | memoryview, chunk: int = CHUNK) -> Record:
    """Return the checksums of bytes that are all in memory."""
    import xxhash

    view = memoryview(data)
    starts = range(0, len(view), chunk)
    sums = (xxhash.xxh3_64(view[start : start + chunk]).hexdigest() for start in starts)
    return Record(len(view), chunk, tuple(sums))


def checked(pieces: Iterable[Any], checksum: Checksum) -> Iterator[Any]:
    """Hand pieces on, and have each summed up meanwhile."""
    waiting = iter(pieces)
    while True:
        with unwatched():  # what is read for a piece is counted once, as the piece
            piece = next(waiting, None)
        if piece is None:
            return
        checksum.add(piece)
        yield piece


class SummedStream(io.RawIOBase):
    """An open file, of which what is read is summed up; to be buffered.

    Args:
      file: the open file.
      checksum: what sums up.
    """

    def __init__(self, file: Any, checksum: Checksum) -> None:
        self._file = file
        self._checksum = checksum

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, memory: Any) -> int:
        """Fill memory; return how many bytes that was."""
        memory = memory[:_LARGEST_COPY]
        count = self._file.readinto(memory) or 0
        # A copy, since whoever gave us the memory may use it again before it is summed up.
        self._checksum.add(bytes(memory[:count]))
        return count


def read_uploaded(path: str, manifest: "Manifest | None", parse: Callable[[Any, int], T]) -> T:
    """Read a file behind a URL from its beginning to its end, and compare it with its manifest.

    There are no threads that would make it faster.

    Args:
      path: the URL.
      manifest: the manifest of the file, if it has one.
      parse: makes of an open file and its size what is returned.

    Raises:
      DamagedCheckpointError: if it is not what was saved, whatever `parse` said.
    """
    known = manifest is not None and bool(manifest.records)
    chunk = manifest.records[0].chunk if manifest is not None and known else CHUNK
    checksum = Checksum(chunk)
    try:
        with (
            remote.open_file(path) as file,
            io.BufferedReader(SummedStream(file, checksum), _BUFFER) as stream,
        ):
            try:
                return parse(stream, remote.size(path))
            finally:
                while stream.read(_BUFFER):
                    pass
                if manifest is not None and known:
                    compare(path, manifest, checksum.record(), 0)
    finally:
        checksum.close()


# --- manifests ------------------------------------------------------------------------------------


def manifest_path(path: str) -> str:
    """Return where the manifest of a checkpoint file is."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}{_SUFFIX}")


def encode_manifest(path: str, records: Iterable[Record], inode: int) -> bytes:
    """Return the content of a manifest.

    Args:
      path: the checkpoint file.
      records: the contents it may have, the newest first.
      inode: the file system's number of the manifest.
    """
    page = {
        "version": _VERSION,
        "file": os.path.basename(path),
        "algorithm": "xxh3_64",
        "inode": inode,
        "contents": [record._asdict() for record in records],
    }
    return json.dumps(page, indent=1).encode() + b"\n"


def read_manifest(path: str) -> Manifest | None:
    """Return the manifest of a checkpoint file, or None if it has none.

    Raises:
      MalformedDataError: if there is one and it cannot be read, which is damage too.
    """
    place = manifest_path(path)
    if storage.kind_of(place) != "file":
        return None
    if remote.is_remote(place):
        number = 0
        with remote.open_file(place) as upload:
            text = upload.read(min(remote.size(place), _MANIFEST_LIMIT))
    else:
        with open(place, "rb") as file:
            status = os.fstat(file.fileno())
            number = status.st_ino
            # Asked for more, `read` takes memory for more.
            text = file.read(min(status.st_size, _MANIFEST_LIMIT))
    try:
        page = json.loads(text)
        if page["version"] != _VERSION:
            return None  # of a later Ramie, which may mean anything by it
        records = tuple(parse_record(content) for content in page["contents"])
        inode = page["inode"]
        if type(inode) is not int:
            raise ValueError(f"the inode is {inode!r:.40}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedDataError(
            f"an entry of the manifest is missing or malformed ({error})", source=place
        ) from error
    return Manifest(records, inode, copied=number != inode)


def parse_record(content: dict[str, Any]) -> Record:
    """Return the record that a manifest holds; a ValueError if it is none."""
    size, chunk, inode = (content[name] for name in ("size", "chunk", "inode"))
    checksums = content["checksums"]
    numbers_ok = all(type(n) is int and n >= 0 for n in (size, chunk, inode)) and chunk > 0
    # A chunk of few bytes would have us count to the size of whatever the file is by now.
    numbers_ok = numbers_ok and chunk >= _SMALLEST_CHUNK
    sums_ok = isinstance(checksums, list) and all(isinstance(text, str) for text in checksums)
    if not numbers_ok or not sums_ok or len(checksums) != -(-size // chunk):
        raise ValueError(
            f"its size, chunk, inode and checksums do not fit together: {str(content)[:80]}"
        )
    return Record(size, chunk, tuple(checksums), inode)


def compare(path: str, manifest: Manifest, found: Record, inode: int) -> None:
    """Raise if what was read from a file is none of the contents that its manifest knows.

    Args:
      path: the file.
      manifest: its manifest.
      found: what was read, in chunks of the size that the manifest has.
      inode: the file system's number of the file.

    Raises:
      DamagedCheckpointError: if the file is damaged; names the bytes.
    """
    if not manifest.records or not manifest.speaks_of(inode):
        return
    damages = [record.damage(found) for record in manifest.records]
    if all(damages):
        raise DamagedCheckpointError(path, min(damages, key=len))


def remove_with_manifest(path: str) -> None:
    """Remove a checkpoint, then its manifest, and the arrays that Flax kept beside it."""
    storage.remove(path)
    if storage.kind_of(path + BESIDE) == "directory":
        storage.remove(path + BESIDE)
    storage.remove(manifest_path(path))


def remove_orphans(folder: str) -> None:
    """Remove manifests whose files are gone; the caller holds the directory's lock."""
    names = set(storage.list_names(folder))
    for name in names:
        if name.startswith(".") and name.endswith(_SUFFIX) and name[1 : -len(_SUFFIX)] not in names:
            storage.remove(os.path.join(folder, name))
