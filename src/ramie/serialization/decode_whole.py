"""Reading bytes that are all in memory: as `decode` does, with a short cut for many small arrays.

The states of optimizers and of large models hold thousands of arrays of a few shapes. What stands
before the bytes of such an array is read with care the first time; where the same bytes follow a
key again, the array is taken as it stands. Entries whose keys have the same length lie at equal
distances, and NumPy looks at many of them at once. Whatever is not so is left to `decode`.
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
_STEP = 16
_LONGEST_RUN = 256


def decode_whole(data: bytes | bytearray | memoryview, source: str | None = None) -> Any:
    """Read one msgpack tree.

    Of more than 128 arrays of one shape and dtype, none larger than 4 KiB, the later ones share
    blocks of memory of at most 64 KiB; each other array has memory of its own.

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
        self._row = np.frombuffer(text, np.uint8)

    @property
    def longest_run(self) -> int:
        """How many arrays may be made at once; they share memory."""
        if not 0 < self.nbytes <= _SMALL or self._made < _SINGLE:
            return 0
        return min(_LONGEST_RUN, _BLOCK // self.nbytes)

    def follows(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Tell of each row of bytes whether it is this head."""
        return (rows == self._row).all(axis=1)

    def make_run(self, rows: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        """Return an array for each row of bytes."""
        block = np.empty((len(rows), *self._shape), self._dtype)
        block.reshape(len(rows), -1).view(np.uint8)[:] = rows
        return list(block) if self._shape else [block[i, ...] for i in range(len(block))]

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
        while level.left and any(
            self._take_run(level, head) or self._take_alike(level, head) for head in self._heads
        ):
            pass

    def _take_run(self, level: Level, head: _Head) -> bool:
        """Take entries at once that have keys of one length and arrays with this head, if any."""
        at = self._size - self._left
        n_key = self._data[at] - 0xA0 if self._left else 0
        if not 0 < n_key < 32:
            return False
        stride = 1 + n_key + head.length + head.nbytes
        count = min(level.left, head.longest_run, self._left // stride)
        if count < _STEP:
            return False
        for entry in (at, at + (_STEP - 1) * stride):  # most that are no runs show it here
            if not self._data.startswith(head.text, entry + 1 + n_key):
                return False
        rows = np.frombuffer(self._data, np.uint8, count * stride, at).reshape(count, stride)
        start = 1 + n_key + head.length
        fits = (rows[:, 0] == rows[0, 0]) & head.follows(rows[:, 1 + n_key : start])
        if not fits.all():
            rows = rows[: int(fits.argmin())]
        names = rows[:, 1 : 1 + n_key].tobytes()
        if not names.isascii():
            return False
        text = names.decode()
        keys = [text[i : i + n_key] for i in range(0, len(text), n_key)]
        if len(set(keys)) < len(keys) or not level.items.keys().isdisjoint(keys):
            return False
        level.items.update(zip(keys, head.make_run(rows[:, start:]), strict=True))
        level.left -= len(keys)
        self._left -= len(keys) * stride
        self._input.seek(self._size - self._left)
        return True

    def _take_alike(self, level: Level, head: _Head) -> bool:
        """Take entries of a dict that have a short key and an array with this head, if any.

        It takes a few only, since a run may begin after them.
        """
        data, size, items = self._data, self._size, level.items
        text, length, nbytes = head.text, head.length, head.nbytes
        at = self._size - self._left
        left = most = min(level.left, _STEP)
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
        taken = most - left
        level.left -= taken
        self._left = size - at
        if taken:
            self._input.seek(at)
        return taken > 0
