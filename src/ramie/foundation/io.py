"""Files by path, local or remote: the few operations that checkpoints need.

Plain paths and ``file://`` go to the operating system. Other URLs (``gs://``, ``s3://``,
``memory://``) go to fsspec, which is imported when the first one is used and comes with the extra
``ramie[remote]``. Code that wants TensorFlow's gfile for everything asks for it, with
``set_mode(BackendMode.TF)``; TensorFlow is never imported otherwise.
"""

from __future__ import annotations

import abc
import glob as _glob
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from ramie import errors as errors

__all__ = [
    "BackendMode",
    "GFile",
    "NotFoundError",
    "copy",
    "exists",
    "getsize",
    "glob",
    "io_mode",
    "isdir",
    "listdir",
    "makedirs",
    "override_mode",
    "remove",
    "rename",
    "rmtree",
    "set_mode",
]

Pathlike = str | os.PathLike[str]

NotFoundError = FileNotFoundError
"""What reading, renaming or removing a file that does not exist raises."""


class BackendMode(Enum):
    """Who does the work.

    DEFAULT: the operating system for local paths, fsspec for URLs. TF: TensorFlow's gfile for all.
    """

    DEFAULT = 0
    TF = 1


io_mode = BackendMode.DEFAULT
"""The mode that holds now; change it with `set_mode` or `override_mode`."""


def set_mode(override: BackendMode) -> None:
    """Choose who does the work, for the rest of the process.

    Args:
        override: The mode.

    Raises:
        TypeError: It is no `BackendMode`.
    """
    global io_mode
    if not isinstance(override, BackendMode):
        raise TypeError(
            f"A mode is BackendMode.DEFAULT or BackendMode.TF, but {override!r} was given."
        )
    io_mode = override


@contextmanager
def override_mode(override: BackendMode) -> Iterator[None]:
    """Choose who does the work, for the length of a ``with`` block.

    Args:
        override: The mode.

    Raises:
        TypeError: It is no `BackendMode`.
    """
    before = io_mode
    set_mode(override)
    try:
        yield
    finally:
        set_mode(before)


# --- the backends ---------------------------------------------------------------------------------


class _Files(abc.ABC):
    """The operations on one kind of file system; paths are texts."""

    @abc.abstractmethod
    def open(self, path: str, mode: str) -> Any: ...

    @abc.abstractmethod
    def listdir(self, path: str) -> list[str]: ...

    @abc.abstractmethod
    def isdir(self, path: str) -> bool: ...

    @abc.abstractmethod
    def exists(self, path: str) -> bool: ...

    @abc.abstractmethod
    def copy(self, src: str, dst: str, overwrite: bool) -> None: ...

    @abc.abstractmethod
    def rename(self, src: str, dst: str, overwrite: bool) -> None: ...

    @abc.abstractmethod
    def makedirs(self, path: str) -> None: ...

    @abc.abstractmethod
    def glob(self, pattern: str) -> list[str]: ...

    @abc.abstractmethod
    def remove(self, path: str) -> None: ...

    @abc.abstractmethod
    def rmtree(self, path: str) -> None: ...

    @abc.abstractmethod
    def getsize(self, path: str) -> int: ...

    def check_free(self, path: str, overwrite: bool) -> None:
        """Refuse to replace a file, unless that is wanted."""
        if not overwrite and self.exists(path):
            raise errors.AlreadyExistsError(path)


class _LocalFiles(_Files):
    """The file systems that the operating system knows."""

    def open(self, path: str, mode: str) -> Any:
        return open(path, mode)

    def listdir(self, path: str) -> list[str]:
        return os.listdir(path)

    def isdir(self, path: str) -> bool:
        return os.path.isdir(path)

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def copy(self, src: str, dst: str, overwrite: bool) -> None:
        self.check_free(dst, overwrite)
        shutil.copy(src, dst)

    def rename(self, src: str, dst: str, overwrite: bool) -> None:
        self.check_free(dst, overwrite)
        os.replace(src, dst)

    def makedirs(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)

    def glob(self, pattern: str) -> list[str]:
        # A pattern that ends in a slash selects folders; gfile names them without it.
        return [path.rstrip("/") or "/" for path in _glob.glob(pattern)]

    def remove(self, path: str) -> None:
        os.remove(path)

    def rmtree(self, path: str) -> None:
        shutil.rmtree(path)

    def getsize(self, path: str) -> int:
        return os.path.getsize(path)


class _RemoteFiles(_Files):
    """Everything fsspec can reach, by URL.

    Args:
        path: A URL; its scheme chooses the file system.
    """

    def __init__(self, path: str) -> None:
        scheme = path.partition("://")[0]
        try:
            import fsspec
        except ImportError:
            raise errors.MissingExtraError(
                "fsspec",
                "remote",
                f"reach {scheme}:// paths (io.set_mode(io.BackendMode.TF) uses TensorFlow instead)",
            ) from None
        self._fs = fsspec.filesystem(scheme)

    def open(self, path: str, mode: str) -> Any:
        return self._fs.open(path, mode)

    def listdir(self, path: str) -> list[str]:
        # Listings are cached by fsspec, and other processes write checkpoints.
        self._fs.invalidate_cache()
        names = self._fs.ls(path, detail=False)
        return [name.rstrip("/").rpartition("/")[2] for name in names]

    def isdir(self, path: str) -> bool:
        return self._fs.isdir(path)

    def exists(self, path: str) -> bool:
        return self._fs.exists(path)

    def copy(self, src: str, dst: str, overwrite: bool) -> None:
        self.check_free(dst, overwrite)
        self._fs.copy(src, dst)

    def rename(self, src: str, dst: str, overwrite: bool) -> None:
        self.check_free(dst, overwrite)
        self._fs.mv(src, dst, recursive=self._fs.isdir(src))

    def makedirs(self, path: str) -> None:
        self._fs.makedirs(path, exist_ok=True)

    def glob(self, pattern: str) -> list[str]:
        return [self._fs.unstrip_protocol(name.rstrip("/")) for name in self._fs.glob(pattern)]

    def remove(self, path: str) -> None:
        self._fs.rm_file(path)

    def rmtree(self, path: str) -> None:
        self._fs.rm(path, recursive=True)

    def getsize(self, path: str) -> int:
        return self._fs.size(path)


class _TensorFlowFiles(_Files):
    """TensorFlow's gfile, with its own errors, except that a missing file is `NotFoundError`."""

    def __init__(self) -> None:
        try:
            from tensorflow import errors as tf_errors
            from tensorflow.io import gfile
        except ImportError as error:
            raise ImportError(
                "BackendMode.TF needs the package tensorflow, which is not installed. Install it, "
                "or use BackendMode.DEFAULT."
            ) from error
        self._gfile = gfile
        self._missing = tf_errors.NotFoundError

    def _call(self, name: str, *args: Any) -> Any:
        try:
            return getattr(self._gfile, name)(*args)
        except self._missing as error:
            raise NotFoundError(error.message) from error

    def open(self, path: str, mode: str) -> Any:
        return self._gfile.GFile(path, mode)

    def listdir(self, path: str) -> list[str]:
        return [name.rstrip("/") for name in self._call("listdir", path)]

    def isdir(self, path: str) -> bool:
        return self._gfile.isdir(path)

    def exists(self, path: str) -> bool:
        return self._gfile.exists(path)

    def copy(self, src: str, dst: str, overwrite: bool) -> None:
        self._call("copy", src, dst, overwrite)

    def rename(self, src: str, dst: str, overwrite: bool) -> None:
        self._call("rename", src, dst, overwrite)

    def makedirs(self, path: str) -> None:
        self._gfile.makedirs(path)

    def glob(self, pattern: str) -> list[str]:
        return self._gfile.glob(pattern)

    def remove(self, path: str) -> None:
        self._call("remove", path)

    def rmtree(self, path: str) -> None:
        self._call("rmtree", path)

    def getsize(self, path: str) -> int:
        return self._call("stat", path).length


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LOCAL = _LocalFiles()


def _locate(path: Pathlike) -> tuple[_Files, str]:
    """Find who is responsible for a path, and the path as they write it."""
    text = os.fspath(path)
    if io_mode is BackendMode.TF:
        return _TensorFlowFiles(), text
    if not _URL.match(text):
        return _LOCAL, text
    if text.lower().startswith("file://"):
        return _LOCAL, text[len("file://") :]
    return _RemoteFiles(text), text


# --- the operations -------------------------------------------------------------------------------


def GFile(name: Pathlike, mode: str) -> Any:
    """Open a file.

    Args:
        name: Its path.
        mode: As for `open`: "rb", "wb", "r", "w", "ab", ...

    Raises:
        NotFoundError: It is to be read and does not exist.
    """
    files, path = _locate(name)
    return files.open(path, mode)


def listdir(path: Pathlike) -> list[str]:
    """Return the names of what is in a folder, in no particular order.

    Raises:
        NotFoundError: There is no such folder.
    """
    files, name = _locate(path)
    return files.listdir(name)


def isdir(path: Pathlike) -> bool:
    """Whether a path is a folder."""
    files, name = _locate(path)
    return files.isdir(name)


def exists(path: Pathlike) -> bool:
    """Whether there is a file or folder of this path."""
    files, name = _locate(path)
    return files.exists(name)


def copy(src: Pathlike, dst: Pathlike, overwrite: bool = False) -> None:
    """Copy a file, also from one file system to another.

    Args:
        src: The file.
        dst: Where the copy goes.
        overwrite: Replace what is there.

    Raises:
        AlreadyExistsError: There is something at ``dst`` and ``overwrite`` is False.
        NotFoundError: There is nothing at ``src``.
    """
    source, src_name = _locate(src)
    target, dst_name = _locate(dst)
    if _same_place(source, target, src_name, dst_name):
        source.copy(src_name, dst_name, overwrite)
        return
    target.check_free(dst_name, overwrite)
    with source.open(src_name, "rb") as reader, target.open(dst_name, "wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)


def rename(src: Pathlike, dst: Pathlike, overwrite: bool = False) -> None:
    """Rename a file or folder within one file system.

    On local file systems this is atomic: a reader sees the old file or the new one.

    Args:
        src: The present path.
        dst: The new path.
        overwrite: Replace the file that is there.

    Raises:
        AlreadyExistsError: There is something at ``dst`` and ``overwrite`` is False.
        NotFoundError: There is nothing at ``src``.
        ValueError: The two paths lie in different file systems.
    """
    source, src_name = _locate(src)
    target, dst_name = _locate(dst)
    if not _same_place(source, target, src_name, dst_name):
        raise ValueError(
            f"Cannot rename {src_name!r} to {dst_name!r}, which lies in another file system. Copy "
            "it and remove the original."
        )
    source.rename(src_name, dst_name, overwrite)


def makedirs(path: Pathlike) -> None:
    """Make a folder and those above it; it may exist already."""
    files, name = _locate(path)
    files.makedirs(name)


def glob(pattern: Pathlike) -> list[str]:
    """Return the paths that match a pattern with ``*``, ``?`` and ``[...]``."""
    files, name = _locate(pattern)
    return files.glob(name)


def remove(path: Pathlike) -> None:
    """Remove a file.

    Raises:
        NotFoundError: There is no such file.
    """
    files, name = _locate(path)
    files.remove(name)


def rmtree(path: Pathlike) -> None:
    """Remove a folder with everything in it.

    Raises:
        NotFoundError: There is no such folder.
    """
    files, name = _locate(path)
    files.rmtree(name)


def getsize(path: Pathlike) -> int:
    """Return the size of a file in bytes.

    Raises:
        NotFoundError: There is no such file.
    """
    files, name = _locate(path)
    return files.getsize(name)


def _same_place(source: _Files, target: _Files, src: str, dst: str) -> bool:
    """Whether one file system holds both paths and can move data between them by itself."""
    if not (isinstance(source, _RemoteFiles) and isinstance(target, _RemoteFiles)):
        return type(source) is type(target)
    return src.partition("://")[0] == dst.partition("://")[0]
