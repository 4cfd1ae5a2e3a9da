"""Committing: a file is wholly there or not there, for every reader, whenever the writer dies.

The data goes to a temporary file in the same directory, is synced, and takes its final name by
one rename, after which the directory is synced. Two locks keep writers apart, and the kernel
gives both back when a process dies. One on the directory serialises commits. One on each
temporary file shows that its writer lives: what can be locked is left over, and is removed.
Where the file system has no locks, all of this works but the removal of leftovers.
"""

import errno
import os
import queue
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import remote
from ramie.checkpoint.storage.threads import started
from ramie.errors import CheckpointBusyError

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["ASIDE", "Staged", "clean_leftovers", "directory_lock", "staging", "staging_directory"]

ASIDE = "aside"
"""Where, in a staging directory, a checkpoint stands while another one takes its place."""

LOCK_TIMEOUT = 120.0
"""Seconds to wait for another writer to finish committing."""

_POLL = 0.02
_AHEAD = 1 << 25
"""Bytes after which the disk starts on what was written, while the rest is being written."""
_RESERVED = 1 << 27
"""Bytes for which a file system is asked for room at once."""
_SLOW = 0.05
"""Seconds after which it is asked no more: without a way to reserve, the C library writes zeros."""
_WRITING = ".writing"
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_HELD = frozenset({errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK})


def _try_lock(descriptor: int) -> bool | None:
    """Lock an open file; None where locks do not exist. The lock ends with the descriptor."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


@contextmanager
def directory_lock(directory: str) -> Iterator[None]:
    """Hold a directory against other committers, waiting for those that are at it.

    Raises:
      CheckpointBusyError: if one of them takes longer than `LOCK_TIMEOUT` seconds.
    """
    if remote.is_remote(directory):
        yield
        return
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while _try_lock(descriptor) is False:
            if time.monotonic() > deadline:
                raise CheckpointBusyError(directory, LOCK_TIMEOUT)
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)


def clean_leftovers(directory: str) -> None:
    """Remove what dead writers left in a directory; the caller holds `directory_lock`."""
    for name in storage.list_names(directory):
        if not name.startswith(storage.TEMPORARY_PREFIX):
            continue
        path = os.path.join(directory, name)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(mode) and name.endswith(_WRITING):
            if _is_abandoned(path):
                _put_back(path)
                storage.remove(path)
        # Other directories are being removed, which happens under the directory lock.
        elif stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and _is_abandoned(path)):
            storage.remove(path)


def _put_back(holder: str) -> None:
    """Put checkpoints back whose writer died after it had moved them out of the way."""
    aside = os.path.join(holder, ASIDE)
    for name in storage.list_names(aside):
        final = os.path.join(os.path.dirname(holder), name)
        if storage.kind_of(final) == "absent":
            os.rename(os.path.join(aside, name), final)


def _is_abandoned(path: str) -> bool:
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return _try_lock(descriptor) is True
    finally:
        os.close(descriptor)


class _Syncing:
    """Syncs an open file again and again in a thread, so that little is left for the last sync."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._failure: OSError | None = None
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Have the disk write what was written to the file so far, if it is not at it already."""
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="ramie-sync", daemon=True)
            if not started(thread):
                return  # then the last sync does it all
            self._thread = thread
        if self._orders.empty():
            self._orders.put(True)

    def finish(self) -> None:
        """Wait for the thread, and raise what it met: the kernel tells of it only once."""
        if self._thread is not None:
            self._orders.put(False)
            self._thread.join()
            self._thread = None
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while self._orders.get():
            try:
                os.fsync(self._descriptor)
            except OSError as failure:
                self._failure = failure


class _Room:
    """Has the file system reserve room for a file that grows, which it does faster at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._end = descriptor, 0
        self._is_worth_it = hasattr(os, "posix_fallocate")

    def reserve(self, place: int) -> None:
        """See to it that there is room at a place, up to which the file is written."""
        if not self._is_worth_it or place + _AHEAD <= self._end:
            return
        start = time.monotonic()
        try:
            os.posix_fallocate(self._descriptor, place, _RESERVED)
        except OSError:  # what is still to be written may fit all the same
            self._is_worth_it = False
        # Also after a failure, which may have made the file longer.
        self._end = place + _RESERVED
        self._is_worth_it = self._is_worth_it and time.monotonic() - start < _SLOW

    def give_back(self, size: int) -> None:
        """Cut off what was not needed."""
        if self._end > size:
            os.ftruncate(self._descriptor, size)


class Staged:
    """A temporary file on its way to become a checkpoint; made by `staging`.

    Attributes:
      path: its temporary name.
      inode: the number by which the file system knows it, which stays when it is published.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.inode = os.fstat(descriptor).st_ino
        self._descriptor: int | None = descriptor
        self._is_temporary = True

    def write(self, pieces: Iterable[Any]) -> int:
        """Write all pieces and sync them; return the number of bytes.

        Raises:
          OSError: if that failed, for instance because the disk is full; names the file.
        """
        if self._descriptor is None:
            raise RuntimeError(f"{self.path} is published or given up already")
        total, ahead = 0, 0
        syncing, room = _Syncing(self._descriptor), _Room(self._descriptor)
        try:
            try:
                for piece in pieces:
                    with memoryview(piece) as view:
                        start = 0
                        while start < len(view):
                            count = os.write(self._descriptor, view[start : start + _AHEAD])
                            start, total, ahead = start + count, total + count, ahead + count
                            if ahead >= _AHEAD:
                                syncing.start()
                                room.reserve(total)
                                ahead = 0
            finally:
                syncing.finish()
            room.give_back(total)
            os.fsync(self._descriptor)
        except OSError as error:
            error.filename = error.filename or self.path
            raise
        return total

    def publish(self, final: str, *, sync: bool = True) -> None:
        """Give the file its final name, replacing what has it, and sync the directory.

        The caller holds `directory_lock`: from here on no lock shows that the file is in use.

        Args:
          final: the name.
          sync: False if the caller syncs the directory in a moment.
        """
        self._close()
        os.replace(self.path, final)
        self._is_temporary = False
        if sync:
            storage.sync_directory(os.path.dirname(final))

    def discard(self) -> None:
        """Remove the file if it is not published."""
        if self._is_temporary:
            self._is_temporary = False
            with suppress(FileNotFoundError):
                os.unlink(self.path)
        self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def staging(directory: str) -> Iterator[Staged]:
    """Open a temporary file in a directory; it is removed unless it gets published."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    with directory_lock(directory):
        # Created and locked while nobody cleans up: no cleaner sees a live file unlocked.
        clean_leftovers(directory)
        path = storage.temporary_path(directory)
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)
        _try_lock(descriptor)
    staged = Staged(path, descriptor)
    try:
        yield staged
    finally:
        staged.discard()


@contextmanager
def staging_directory(directory: str) -> Iterator[str]:
    """Make a hidden directory in a directory, and hold it; it is removed in the end."""
    with directory_lock(directory):
        clean_leftovers(directory)
        path = storage.temporary_path(directory) + _WRITING
        os.mkdir(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if fcntl is not None else None
        if descriptor is not None:
            _try_lock(descriptor)
    try:
        yield path
    finally:
        _put_back(path)
        storage.remove(path)
        if descriptor is not None:
            os.close(descriptor)
