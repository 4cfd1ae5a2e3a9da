"""What the engine asks of a file system: listing, durable directories, safe removal."""

import ctypes
import errno
import os
import re
import shlex
import shutil
import stat
import uuid
from typing import Literal

from ramie.checkpoint.storage import remote
from ramie.errors import (
    CheckpointNotFoundError,
    CheckpointOptionError,
    UnsupportedCheckpointError,
)

__all__ = [
    "TEMPORARY_PREFIX",
    "check_directory",
    "exchange",
    "files_below",
    "kind_of",
    "list_names",
    "local_or_remote",
    "local_path",
    "make_directory",
    "remove",
    "safe_normpath",
    "size_of",
    "sync_directory",
    "temporary_path",
]

TEMPORARY_PREFIX = ".ramie-tmp-"
"""What the names of unfinished and of removed things start with; no reader looks at them."""

_AT_CWD, _SWAP = -100, 2  # of renameat2 in Linux
_NO_SWAP = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM})
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*://)(.*)", re.IGNORECASE | re.DOTALL)

Kind = Literal["file", "directory", "other", "absent"]


def safe_normpath(path: str) -> str:
    """Return a path without doubled separators, `.` and `..`; the scheme of a URL stays whole.

    Example:
      >>> from ramie.training.checkpoints import safe_normpath
      >>> safe_normpath("gs://bucket//run/./last")
      'gs://bucket/run/last'
    """
    url = _SCHEME.fullmatch(path)
    if url:
        return url[1] + os.path.normpath(url[2])
    return os.path.normpath(path)


def local_or_remote(path: str | os.PathLike[str]) -> str:
    """Return a normalised path: a local one, or a URL for fsspec."""
    text = safe_normpath(os.fspath(path))
    return text if remote.is_remote(text) else text.removeprefix("file://")


def local_path(path: str | os.PathLike[str]) -> str:
    """Return a normalised path of the local file system.

    Raises:
      UnsupportedCheckpointError: for a URL.
    """
    text = local_or_remote(path)
    if remote.is_remote(text):
        raise UnsupportedCheckpointError(
            f'This operation on "{text}"',
            "Checkpoints are saved, restored and listed there; for the rest, copy them to a local "
            "directory.",
        )
    return text


def check_directory(path: str) -> None:
    """Check that there is a directory.

    Raises:
      CheckpointNotFoundError: if there is nothing.
      CheckpointOptionError: if it is a file.
    """
    kind = kind_of(path)
    if kind == "absent":
        raise CheckpointNotFoundError(*os.path.split(path), None)
    if kind != "directory":
        hint = f"`ramie ckpt show {shlex.quote(path)}` tells what is in it"
        problem = f"it is a file and no directory; {hint}"
        raise CheckpointOptionError("directory", path, problem)


def list_names(directory: str) -> list[str]:
    """Return the names in a directory; none where there is no such directory."""
    if remote.is_remote(directory):
        return remote.list_names(directory)
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def files_below(folder: str) -> list[str]:
    """Return the paths of all regular files below a directory, in order."""
    found = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
    return sorted(path for path in found if stat.S_ISREG(os.lstat(path).st_mode))


def size_of(path: str) -> int:
    """Return the bytes of a file, or of all files below a directory; 0 if it is gone."""
    if remote.is_remote(path):
        return remote.size(path)
    files = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    return sum(os.path.getsize(file) for file in files or [path] if os.path.isfile(file))


def kind_of(path: str) -> Kind:
    """Tell what is at a path, following links; devices, sockets and pipes are "other"."""
    if remote.is_remote(path):
        return remote.kind_of(path)
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except OSError:  # for instance a chain of links without end
        return "other"
    if stat.S_ISREG(mode):
        return "file"
    return "directory" if stat.S_ISDIR(mode) else "other"


def sync_directory(directory: str) -> None:
    """Make what was created, renamed and removed in a directory survive a power failure."""
    if remote.is_remote(directory):
        return
    if os.name == "nt":  # Windows cannot open directories, and writes their entries by itself
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems refuse this for directories: they have nothing to wait for.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def make_directory(directory: str) -> None:
    """Create a directory and those above it, durably; one that exists is left alone."""
    if remote.is_remote(directory):
        remote.make_directory(directory)
        return
    if os.path.isdir(directory):
        return
    above = os.path.dirname(os.path.abspath(directory))
    if above != directory:
        make_directory(above)
    os.makedirs(directory, exist_ok=True)
    sync_directory(above)


def temporary_path(directory: str) -> str:
    """Return a path in a directory that nobody else uses."""
    return os.path.join(directory, TEMPORARY_PREFIX + uuid.uuid4().hex)


def exchange(one: str, other: str) -> bool:
    """Let two paths swap what they name, in one step; tell whether that is possible here."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    if not renameat2(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _SWAP):
        return True
    number = ctypes.get_errno()
    if number in _NO_SWAP:
        return False
    raise OSError(number, os.strerror(number), one, None, other)


def remove(path: str) -> None:
    """Remove a file, a link, or a whole directory; what is gone already is no error.

    A directory disappears at once, by a rename, before its content is removed: nobody sees half
    of it.
    """
    if remote.is_remote(path):
        remote.remove(path)
        return
    if os.path.isdir(path) and not os.path.islink(path):
        doomed = temporary_path(os.path.dirname(path))
        try:
            os.rename(path, doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed)
        return
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
