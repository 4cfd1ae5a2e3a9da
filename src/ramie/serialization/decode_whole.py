"""Reading bytes that are all in memory: as `decode` does, with a short cut for many small arrays.

The states of optimizers and of large models hold thousands of arrays of a few shapes. What stands
before the bytes of such an array is read with care the first time; where the same bytes follow a
key again, the array is taken as it stands. Entries whose keys have the same length lie at equal
distances, and NumPy looks at many of them at once; so do layers that look alike
(`decode_layers.py`). Whatever is not so is left to `decode`.
"""

import io
import mmap
from bisect import bisect_left
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from ramie.serialization.decode import Decoder, Level
from ramie.serialization.decode_layers import (
    BLOCK,
    LONGEST_RUN,
    SMALL,
    Forms,
    Layout,
    layout_of,
    unstack,
)

__all__ = ["Pages", "decode_whole"]

_MOST_HEADS = 8
_SINGLE = 128
_STEP = 16
_MOST_PLACES = 1 << 12
"""Arrays of a layer up to which it is compared with others."""


class Pages(mmap.mmap):
    """Memory for some megabytes to be read into, which the kernel may give in large pages.

    Being given bytes page by page takes longer than it takes to copy them from a file.
    """

    def __new__(cls, size: int) -> "Pages":
        """Return memory of a size above zero."""
        if not hasattr(mmap, "MADV_HUGEPAGE"):
            return super().__new__(cls, -1, size)
        pages = super().__new__(cls, -1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel may be built without
            pages.madvise(mmap.MADV_HUGEPAGE)
        return pages

    def readinto(self, memory: memoryview) -> int:
        """Fill memory with the next bytes; return how many there were."""
        data = self.read(len(memory))
        memory[: len(data)] = data
        return len(data)


def decode_whole(
    data: bytes | bytearray | memoryview | Pages,
    source: str | None = None,
    forms: Forms | None = None,
) -> Any:
    """Read one msgpack tree.

    Of more than 128 arrays of one shape and dtype, or more than 16 layers that look alike, none
    larger than 4 KiB, the later ones share blocks of memory of at most 64 KiB; each other array has
    memory of its own.

    Args:
      data: its bytes.
      source: the name of the file, for error messages.
      forms: takes what is known of some of the dicts, whose arrays then need not be asked.

    Raises:
      MalformedDataError: if the bytes are not those of a tree.
    """
    whole = data if isinstance(data, (bytes, Pages)) else bytes(data)
    return _WholeDecoder(whole, source, {} if forms is None else forms).run()


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
        if not 0 < self.nbytes <= SMALL or self._made < _SINGLE:
            return 0
        return min(LONGEST_RUN, BLOCK // self.nbytes)

    def follows(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Tell of each row of bytes whether it is this head."""
        return (rows == self._row).all(axis=1)

    def make_run(self, rows: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        """Return an array for each row of bytes."""
        return list(unstack(rows, self._shape, self._dtype))

    def make(self, data: bytes) -> np.ndarray[Any, Any]:
        """Return an array of these bytes, when there is no free one to be filled."""
        self._made += 1
        if self.nbytes > SMALL or not self.nbytes or self._made < _SINGLE:
            return np.ndarray(self._shape, self._dtype, data).copy()
        self.fill()
        self._filled = 0
        self._block = np.empty((max(1, BLOCK // self.nbytes), *self._shape), self._dtype)
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

    def __init__(self, data: bytes | Pages, source: str | None, forms: Forms) -> None:
        self._data = data
        self._forms = forms
        self._input = data if isinstance(data, Pages) else io.BytesIO(data)
        self._heads: list[_Head] = []
        self._closed: Level | None = None
        # Where the bytes of arrays begin, and which they are, of all that begin after a place.
        self._starts: list[int] = []
        self._arrays: list[np.ndarray[Any, Any]] = []
        self._known_from = 0
        self._reach = LONGEST_RUN
        super().__init__(self._input, len(data), source, self._fill_all)

    def run(self) -> Any:
        value = super().run()
        self._fill_all()
        return value

    def _fill_all(self) -> None:
        for head in self._heads:
            head.fill()

    def _note(self, array: np.ndarray[Any, Any]) -> None:
        at = self._size - self._left - array.nbytes
        self._know([at], [array])
        # Booleans have to be looked at one by one.
        if len(self._heads) < _MOST_HEADS and array.dtype != np.bool_:
            self._heads.append(_Head(self._data[self._began : at], array))

    def _know(self, starts: Iterable[int], arrays: list[np.ndarray[Any, Any]]) -> None:
        """Remember where the bytes of arrays begin, for layers that look alike."""
        self._starts.extend(starts)
        self._arrays.extend(arrays)
        if len(self._starts) > _MOST_PLACES:
            self._forget()

    def _forget(self) -> None:
        self._starts.clear()
        self._arrays.clear()
        self._known_from = self._size - self._left

    def _finish(self, level: Level) -> Any:
        value = super()._finish(level)
        self._closed = level if value is level.items else None
        return value

    def _take_entries(self, level: Level) -> None:
        closed, self._closed = self._closed, None
        if closed is not None and level.items.get(level.key) is closed.items:
            self._take_layers(level, closed)
        while level.left and any(
            self._take_run(level, head) or self._take_alike(level, head) for head in self._heads
        ):
            pass

    def _take_layers(self, level: Level, closed: Level) -> None:
        """Take the entries that look like the last one, which is a layer, if they are many."""
        at = self._size - self._left
        if level.left < _STEP or type(closed.items) is not dict or closed.began < self._known_from:
            return
        stride = at - closed.began + (self._data[at] - 0x9F if self._left else 0)
        if self._left < _STEP * stride:
            return
        text = self._data[closed.began : at]
        first = bisect_left(self._starts, closed.began)
        starts = [start - closed.began for start in self._starts[first:]]
        places = list(zip(starts, self._arrays[first:], strict=True))
        layout = layout_of(text, closed.items, places)
        while layout is not None and self._take_some_layers(level, layout):
            self._forget()

    def _take_some_layers(self, level: Level, layout: Layout) -> bool:
        """Take entries at once that have keys of one length and layers with this layout, if any."""
        at = self._size - self._left
        n_key = self._data[at] - 0xA0 if self._left else 0
        if not 0 < n_key < 32:
            return False
        stride = 1 + n_key + layout.length
        count = min(level.left, layout.most, self._reach, self._left // stride)
        if count < _STEP or not self._has(layout.head, at + 1 + n_key):
            return False
        rows = np.frombuffer(self._data, np.uint8, count * stride, at).reshape(count, stride)
        alike = layout.count_alike(rows)
        # What was looked at in vain is less than what was read.
        self._reach = max(_STEP, min(LONGEST_RUN, 2 * alike))
        keys = self._keys(rows[:alike], n_key, level) if alike >= _STEP else None
        if keys is None:
            return False
        layers = layout.build(rows[: len(keys)], self._forms)
        level.items.update(zip(keys, layers, strict=True))
        self._pass_over(level, len(keys), stride)
        return True

    def _keys(self, rows: np.ndarray[Any, Any], n_key: int, level: Level) -> list[str] | None:
        """Return the keys at the beginning of rows, if they are new and of one length.

        Of the rows after the first that has a key of another length none are returned.
        """
        is_key = rows[:, 0] == rows[0, 0]
        if not is_key.all():
            rows = rows[: int(is_key.argmin())]
        names = rows[:, 1 : 1 + n_key].tobytes()
        if not names.isascii():
            return None
        text = names.decode()
        keys = [text[start : start + n_key] for start in range(0, len(text), n_key)]
        if len(set(keys)) < len(keys) or not level.items.keys().isdisjoint(keys):
            return None
        return keys

    def _has(self, text: bytes, at: int) -> bool:
        return self._data[at : at + len(text)] == text

    def _pass_over(self, level: Level, count: int, stride: int) -> None:
        """Go on after entries that were taken at once."""
        level.left -= count
        self._left -= count * stride
        self._input.seek(self._size - self._left)

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
            if not self._has(head.text, entry + 1 + n_key):
                return False
        rows = np.frombuffer(self._data, np.uint8, count * stride, at).reshape(count, stride)
        start = 1 + n_key + head.length
        fits = head.follows(rows[:, 1 + n_key : start])
        if not fits.all():
            rows = rows[: int(fits.argmin())]
        keys = self._keys(rows, n_key, level)
        if keys is None:
            return False
        arrays = head.make_run(rows[: len(keys), start:])
        level.items.update(zip(keys, arrays, strict=True))
        self._pass_over(level, len(keys), stride)
        self._know(range(at + start, at + len(keys) * stride, stride), arrays)
        return True

    def _take_alike(self, level: Level, head: _Head) -> bool:
        """Take entries of a dict that have a short key and an array with this head, if any.

        It takes a few only, since a run may begin after them.
        """
        data, size, items = self._data, self._size, level.items
        text, length, nbytes = head.text, head.length, head.nbytes
        at = self._size - self._left
        left = most = min(level.left, _STEP)
        starts, arrays = [], []
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
                array = head.free.pop()
                head.waiting.append(data[start:end])
            else:
                array = head.make(data[start:end])
            items[key] = array
            starts.append(start)
            arrays.append(array)
            at = end
            left -= 1
        taken = most - left
        level.left -= taken
        self._left = size - at
        if taken:
            self._input.seek(at)
            self._know(starts, arrays)
        return taken > 0
