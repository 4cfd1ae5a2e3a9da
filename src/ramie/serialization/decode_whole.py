"""Reading bytes that are all in memory: as `decode` does, with a short cut for many small arrays.

The states of optimizers and of large models hold thousands of arrays of a few shapes. What stands
before the bytes of such an array is read with care the first time; where the same bytes follow a
key again, the array is taken as it stands. Whatever is not so is left to `decode`.
"""

import io
from typing import Any

import numpy as np

from ramie.serialization.decode import Decoder, Level

__all__ = ["decode_whole"]

_MOST_HEADS = 8
_SMALL = 1 << 12
_SINGLE = 128
_BLOCK = 1 << 16


def decode_whole(data: bytes | bytearray | memoryview, source: str | None = None) -> Any:
    """Read one msgpack tree.

    Of more than 128 arrays of one shape and dtype, none larger than 4 KiB, the later ones share
    blocks of memory of 64 KiB; each other array has memory of its own.

    Args:
      data: its bytes.
      source: the name of the file, for error messages.

    Raises:
      MalformedDataError: if the bytes are not those of a tree.
    """
    return _WholeDecoder(data if isinstance(data, bytes) else bytes(data), source).run()


class _Head:
    """What stands before the bytes of an array, and the arrays made after it."""

    def __init__(self, text: bytes, array: np.ndarray[Any, Any]) -> None:
        self.text, self.length, self.nbytes = text, len(text), array.nbytes
        self.free: list[np.ndarray[Any, Any]] = []
        self.waiting: list[bytes] = []
        self._shape, self._dtype = array.shape, array.dtype
        self._block, self._filled = array, 0
        self._made = 0

    def make(self, data: bytes) -> np.ndarray[Any, Any]:
        """Return an array of these bytes, when there is no free one to be filled."""
        self._made += 1
        if self.nbytes > _SMALL or not self.nbytes or self._made < _SINGLE:
            return np.ndarray(self._shape, self._dtype, data).copy()
        self.fill()
        self._filled = 0
        self._block = np.empty((max(1, _BLOCK // self.nbytes), *self._shape), self._dtype)
        backwards = self._block[::-1]
        # Iterating is fast, but gives scalars where the arrays have no axes.
        self.free = (
            list(backwards) if self._shape else [backwards[i, ...] for i in range(len(backwards))]
        )
        self.waiting.append(data)
        return self.free.pop()

    def fill(self) -> None:
        """Put the bytes into the arrays that were handed out without."""
        if self.waiting:
            found = np.frombuffer(b"".join(self.waiting), np.uint8)
            end = self._filled + len(found)
            self._block.reshape(-1).view(np.uint8)[self._filled : end] = found
            self._filled = end
            self.waiting.clear()


class _WholeDecoder(Decoder):
    """A decoder that sees all of its input."""

    def __init__(self, data: bytes, source: str | None) -> None:
        self._data = data
        self._input = io.BytesIO(data)
        self._heads: list[_Head] = []
        super().__init__(self._input, len(data), source, self._fill_all)

    def run(self) -> Any:
        value = super().run()
        self._fill_all()
        return value

    def _fill_all(self) -> None:
        for head in self._heads:
            head.fill()

    def _note(self, array: np.ndarray[Any, Any]) -> None:
        # Booleans have to be looked at one by one.
        if len(self._heads) < _MOST_HEADS and array.dtype != np.bool_:
            at = self._size - self._left - array.nbytes
            self._heads.append(_Head(self._data[self._began : at], array))

    def _take_entries(self, level: Level) -> None:
        while level.left and any(self._take_alike(level, head) for head in self._heads):
            pass

    def _take_alike(self, level: Level, head: _Head) -> bool:
        """Take entries of a dict that have a short key and an array with this head, if any."""
        data, size, items, left = self._data, self._size, level.items, level.left
        text, length, nbytes = head.text, head.length, head.nbytes
        at = self._size - self._left
        while left and at < size:
            first = data[at]
            here = at + first - 0x9F
            start = here + length
            if first & 0xE0 != 0xA0 or data[here:start] != text:
                break
            end = start + nbytes
            try:
                key = data[at + 1 : here].decode()
            except UnicodeDecodeError:
                break
            if end > size or key in items:
                break
            if head.free:
                items[key] = head.free.pop()
                head.waiting.append(data[start:end])
            else:
                items[key] = head.make(data[start:end])
            at = end
            left -= 1
        taken = level.left - left
        level.left, self._left = left, size - at
        if taken:
            self._input.seek(at)
        return taken > 0
