"""Checkpoints behind URLs (``gs://``, ``s3://``, ``memory://``), by fsspec.

What "wholly or not at all" means there: a file is uploaded under a temporary name, its size is
compared, and only then the file system moves it to its name. Object stores move by a copy of their
own, which appears as a whole. Once an upload is closed, it is as durable as the store promises.

There are no locks: the files of two writers do not mix, but retention of one may remove what the
other saved. Give each run a directory. What a writer left when it died is removed after a day.
"""

import datetime
import errno
import functools
import io
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, ParamSpec, TypeVar

from ramie.errors import CheckpointOptionError, MissingExtraError, RamieError

__all__ = [
    "RemoteStaged",
    "clean_leftovers",
    "is_remote",
    "kind_of",
    "list_names",
    "make_directory",
    "modified",
    "open_file",
    "read_start",
    "remove",
    "size",
    "staging",
]

Given = ParamSpec("Given")
Result = TypeVar("Result")

_URL = re.compile(r"(?!file://)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PIECE = 1 << 23
_FORGOTTEN = datetime.timedelta(days=1)


def is_remote(path: str) -> bool:
    """Tell whether a path is a URL that only fsspec understands."""
    return _URL.match(path) is not None


def _filesystem(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path there.

    Raises:
      MissingExtraError: if fsspec is not installed.
      ImportError: if it is, and the package for this kind of URL is not; fsspec names it.
      CheckpointOptionError: if there is no such kind of URL; a ValueError.
    """
    try:
        import fsspec
    except ImportError:
        scheme = url.partition("://")[0]
        raise MissingExtraError("fsspec", "remote", f"reach {scheme}:// paths") from None
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ValueError as error:
        kinds = "it starts like a URL of a kind that fsspec does not know"
        raise CheckpointOptionError("path", url, f"{kinds} ({error})") from error
    return system, path


def _reaching(work: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let failures of a store, each of which has its own classes of errors, be OSErrors."""

    @functools.wraps(work)
    def told(*arguments: Given.args, **options: Given.kwargs) -> Result:
        try:
            return work(*arguments, **options)
        except (OSError, ImportError, RamieError):
            raise
        except Exception as error:
            place = str(getattr(arguments[0], "path", arguments[0]))
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}", place) from error

    return told


@_reaching
def list_names(url: str) -> list[str]:
    """Return the names in a directory; none where there is no such directory."""
    system, path = _filesystem(url)
    system.invalidate_cache()  # fsspec remembers listings, and others write too
    try:
        found = system.ls(path, detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [posixpath.basename(name.rstrip("/")) for name in found]


@_reaching
def kind_of(url: str) -> Literal["file", "directory", "other", "absent"]:
    """Tell what is at a URL."""
    system, path = _filesystem(url)
    try:
        kind = system.info(path)["type"]
    except FileNotFoundError:
        return "absent"
    return kind if kind in ("file", "directory") else "other"


@_reaching
def size(url: str) -> int:
    """Return the size of a file in bytes, 0 for anything else."""
    system, path = _filesystem(url)
    return int(system.size(path) or 0)


@_reaching
def modified(url: str) -> float:
    """Return when a file was written, in seconds since 1970; 0 if that is not known."""
    system, path = _filesystem(url)
    try:
        return float(system.modified(path).timestamp())
    except (NotImplementedError, AttributeError, KeyError, TypeError):
        return 0.0


@_reaching
def open_file(url: str) -> io.BufferedReader:
    """Open a file for reading."""
    system, path = _filesystem(url)
    return io.BufferedReader(_Reading(system.open(path, "rb"), url))


class _Reading(io.RawIOBase):
    """An open file of fsspec whose failures are OSErrors."""

    def __init__(self, file: Any, url: str) -> None:
        self._file = file
        self.path = url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    @_reaching
    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    @_reaching
    def readinto(self, memory: Any) -> int:
        return self._file.readinto(memory) or 0

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


@_reaching
def read_start(url: str, count: int) -> bytes:
    """Return the first bytes of a file, fewer where it has fewer."""
    system, path = _filesystem(url)
    return bytes(system.cat_file(path, 0, min(count, size(url))))


def make_directory(url: str) -> None:
    """Make a directory, where there are such things."""
    system, path = _filesystem(url)
    system.makedirs(path, exist_ok=True)


@_reaching
def remove(url: str) -> None:
    """Remove a file or a whole directory; what is gone already is no error."""
    system, path = _filesystem(url)
    with suppress(FileNotFoundError):
        system.rm(path, recursive=system.isdir(path))


class RemoteStaged:
    """A file that is uploaded under a temporary name; see `commit.Staged`.

    Attributes:
      path: its temporary name.
      inode: always 0: there is nothing to know it by.
    """

    inode = 0

    def __init__(self, url: str) -> None:
        self.path = url
        self._is_there = False

    @_reaching
    def write(self, pieces: Iterable[Any]) -> int:
        """Upload all pieces; return the number of bytes.

        Raises:
          OSError: if that failed, or not all of it has arrived.
        """
        system, path = _filesystem(self.path)
        self._is_there = True
        total = 0
        with system.open(path, "wb") as file:
            for piece in pieces:
                with memoryview(piece) as view:
                    for start in range(0, len(view), _PIECE):
                        file.write(view[start : start + _PIECE])
                    total += len(view)
        arrived = size(self.path)
        if arrived != total:
            problem = f"only {arrived} of {total} bytes arrived"
            raise OSError(errno.EIO, problem, self.path)
        return total

    @_reaching
    def publish(self, final: str, *, sync: bool = True) -> None:
        """Give the file its final name, replacing what has it; `sync` makes no difference."""
        system, path = _filesystem(self.path)
        system.mv(path, _filesystem(final)[1])
        self._is_there = False

    def discard(self) -> None:
        """Remove the file if it is not published."""
        if self._is_there:
            with suppress(OSError):
                remove(self.path)
            self._is_there = False


@contextmanager
def staging(url: str) -> Iterator[RemoteStaged]:
    """Prepare a file of a temporary name; it is removed unless it gets published."""
    staged = RemoteStaged(url)
    try:
        yield staged
    finally:
        staged.discard()


def clean_leftovers(directory: str, prefix: str) -> None:
    """Remove the files of a prefix that nobody has written to for a day."""
    now = datetime.datetime.now(datetime.UTC).timestamp()
    for name in list_names(directory):
        url = os.path.join(directory, name)
        if name.startswith(prefix) and 0 < modified(url) < now - _FORGOTTEN.total_seconds():
            remove(url)
