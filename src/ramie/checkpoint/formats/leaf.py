"""A leaf of a saved tree as its file describes it, before any of its bytes are read."""

import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ramie.checkpoint.storage.progress import advance
from ramie.errors import MalformedDataError
from ramie.serialization import arrays

__all__ = ["Leaf", "open_regular", "read_array"]

_WRITER = "the library whose format it has"


class Leaf(NamedTuple):
    """One leaf.

    Attributes:
      path: the keys that lead to it.
      shape: the shape of an array; None for a plain value.
      dtype: its dtype; None for a plain value.
      value: the plain value, such as a number, a string, None or an empty container.
      file: the file with the bytes of an array.
      spans: where they are: pairs of the first byte and the number of bytes, in order.
      note: "scalar" for a numpy scalar; the name of the generator for the words of PRNG keys.
      load: how to read an array that does not lie in a file as it is in memory, given the path.
      unread: the name that its format has for the dtype of an array that cannot be read.
    """

    path: tuple[str, ...]
    shape: tuple[int, ...] | None = None
    dtype: np.dtype[Any] | None = None
    value: Any = None
    file: str = ""
    spans: tuple[tuple[int, int], ...] = ()
    note: str = ""
    load: Callable[[tuple[str, ...]], np.ndarray[Any, Any]] | None = None
    unread: str = ""

    @property
    def is_array(self) -> bool:
        """Whether it has a shape and bytes."""
        return self.shape is not None

    @property
    def nbytes(self) -> int:
        """The number of bytes of an array; 0 for a plain value."""
        if self.load is not None and self.shape is not None and self.dtype is not None:
            return math.prod(self.shape) * self.dtype.itemsize
        return sum(count for _, count in self.spans)

    @property
    def kind(self) -> str:
        """The dtype of an array, or the type of a plain value."""
        if self.unread:
            return self.unread
        return self.dtype.name if self.dtype is not None else type(self.value).__name__


def read_array(leaf: Leaf) -> np.ndarray[Any, Any]:
    """Read one array into memory of its own.

    Raises:
      MalformedDataError: if the file has become shorter, or holds no values of the dtype.
      UnsupportedCheckpointError: if it is of a dtype that cannot be read.
    """
    if leaf.load is not None:
        loaded = leaf.load(leaf.path)
        advance(loaded.nbytes)
        return loaded
    assert leaf.shape is not None and leaf.dtype is not None
    result = np.empty(leaf.shape, leaf.dtype)
    memory, start = arrays.raw_bytes(result), 0
    with open(leaf.file, "rb", buffering=0) as file:
        for offset, count in leaf.spans:
            file.seek(offset)
            end = start + count
            while start < end:
                got = file.readinto(memory[start:end])
                if not got:
                    problem = "the file became shorter while it was read"
                    path = "/".join(leaf.path)
                    raise MalformedDataError(problem, path, source=leaf.file, writer=_WRITER)
                start += got
                advance(got)
    try:
        arrays.check_bits(result)
    except ValueError as error:
        path = "/".join(leaf.path)
        raise MalformedDataError(str(error), path, source=leaf.file, writer=_WRITER) from error
    return result


def open_regular(path: str) -> Any:
    """Open a file for reading; a pipe in its place does not block, and reads as an empty file."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    return open(descriptor, "rb")
