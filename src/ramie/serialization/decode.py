"""Reading: msgpack bytes back to a tree, trusting nothing that they say.

Every length is compared with the number of bytes that are left before memory is taken, containers
are kept on a stack of our own instead of Python's, and whatever does not fit is reported as one
class of error, with its path in the tree. Arrays are read straight into their own memory.
"""

import struct
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import numpy as np

from ramie.errors import MalformedDataError
from ramie.serialization import arrays
from ramie.serialization.encode import (
    CHUNK_MARKER,
    COMPLEX_CODE,
    KEY_MARKER,
    MAX_DEPTH,
    NDARRAY_CODE,
    SCALAR_CODE,
)

__all__ = ["Decoder", "Level", "decode"]


class Stream(Protocol):
    """Where the bytes come from; neither method gives fewer than asked for but at the end."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        ...

    def readinto(self, memory: memoryview, /) -> int:
        """Fill memory with the next bytes, and return how many there were."""
        ...


def decode(
    stream: Stream,
    size: int,
    source: str | None = None,
    settle: Callable[[], None] | None = None,
) -> Any:
    """Read one msgpack tree that fills a stream.

    Args:
      stream: gives the bytes through `read` and `readinto`.
      size: how many bytes there are; no more than these are read.
      source: the name of the file, for error messages.
      settle: waits until all memory given to `readinto` is filled, if the stream does that later.

    Returns:
      Dicts, lists, numpy arrays in memory of their own, and plain Python values.

    Raises:
      MalformedDataError: if the bytes are not those of a tree. Memory taken until then is
        bounded by `size`.
    """
    return Decoder(stream, size, source, settle).run()


def _have_settled() -> None:
    """Wait for nothing: the stream has filled what it was given."""


class _Token:
    """The kinds of token; a token is a kind and its value, length or number of entries."""

    VALUE, STRING, BYTES, ARRAY, MAP, EXTENSION = range(6)


_WHOLE = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_LENGTHS = {
    0xC4: (_Token.BYTES, ">B"),
    0xC5: (_Token.BYTES, ">H"),
    0xC6: (_Token.BYTES, ">I"),
    0xC7: (_Token.EXTENSION, ">B"),
    0xC8: (_Token.EXTENSION, ">H"),
    0xC9: (_Token.EXTENSION, ">I"),
    0xD9: (_Token.STRING, ">B"),
    0xDA: (_Token.STRING, ">H"),
    0xDB: (_Token.STRING, ">I"),
    0xDC: (_Token.ARRAY, ">H"),
    0xDD: (_Token.ARRAY, ">I"),
    0xDE: (_Token.MAP, ">H"),
    0xDF: (_Token.MAP, ">I"),
}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_NUMBER_READERS = {first: struct.Struct(form) for first, form in _NUMBERS.items()}
_LENGTH_READERS = {first: (kind, struct.Struct(form)) for first, (kind, form) in _LENGTHS.items()}


class Level:
    """One container being filled: a dict waits for a key, then for that key's value."""

    __slots__ = ("began", "items", "key", "left")

    def __init__(self, items: Any, left: int, began: int) -> None:
        self.items = items
        self.left = left
        self.began = began
        self.key: Any = None


class Decoder:
    """The state of one run: the input with what is left of it, and the stack of containers."""

    def __init__(
        self,
        stream: Stream,
        size: int,
        source: str | None,
        settle: Callable[[], None] | None = None,
    ) -> None:
        self._stream = stream
        self._settle = settle or _have_settled
        self._size = size
        self._left = size
        self._began = 0
        self._source = source
        self._stack: list[Level] = []

    def run(self) -> Any:
        """Read the tree."""
        value, opened = self._next()
        while self._stack:
            level = self._stack[-1]
            if not opened:
                self._put(level, value)
            if isinstance(level.items, dict):
                self._take_entries(level)
            if level.left == 0:
                self._stack.pop()
                value, opened = self._finish(level), False
                continue
            level.left -= 1
            level.key = self._key(level) if isinstance(level.items, dict) else len(level.items)
            value, opened = self._next()
        if self._left:
            self._fail(f"{self._left} bytes follow after the end of the tree")
        return value

    def _take_entries(self, level: Level) -> None:
        """Read some of the next entries of a dict at once, where that is known to be right."""

    def _note(self, array: np.ndarray[Any, Any]) -> None:
        """Remember an array that was read; its extension began at `_began`."""

    def _next(self) -> tuple[Any, bool]:
        """Read a leaf, or open a container; tell which."""
        self._began = self._size - self._left
        kind, value = self._token()
        if kind == _Token.VALUE:
            return value, False
        if kind == _Token.STRING:
            return self._text(value), False
        if kind == _Token.BYTES:
            return self._take(value), False
        if kind == _Token.EXTENSION:
            return self._extension(value), False
        if len(self._stack) >= MAX_DEPTH:
            self._fail(f"the tree is nested more than {MAX_DEPTH} levels deep")
        if value * (2 if kind == _Token.MAP else 1) > self._left:
            self._fail(f"a container claims {value} entries, and {self._left} bytes are left")
        self._stack.append(Level({} if kind == _Token.MAP else [], value, self._began))
        return None, True

    def _put(self, level: Level, value: Any) -> None:
        if isinstance(level.items, dict):
            level.items[level.key] = value
        else:
            level.items.append(value)

    def _key(self, level: Level) -> Any:
        level.key = "?"
        kind, value = self._token()
        key: Any
        if kind == _Token.STRING:
            key = self._text(value)
        elif kind == _Token.BYTES:
            key = self._take(value)
        elif kind == _Token.VALUE:
            key = value
        else:
            self._fail("a dict key is a container or an extension")
        if key in level.items or key != key:
            self._fail(f"the dict key {str(key)[:60]!r} occurs twice")
        return key

    def _finish(self, level: Level) -> Any:
        """Turn the dicts that stand for something else into it."""
        items = level.items
        if isinstance(items, dict):
            make = next((make for key, make in _STANDING_FOR.items() if key in items), None)
            if make is not None:
                self._settle()
                try:
                    return make(items)
                except ValueError as error:
                    self._fail(error)
        return items

    # -- the input ----------------------------------------------------------------------------

    def _fail(self, problem: Any) -> NoReturn:
        path = "/".join([".", *(str(level.key)[:60] for level in self._stack)])
        if len(path) > 200:
            path = f"{path[:100]}...{path[-60:]}"
        raise MalformedDataError(str(problem), path, self._size - self._left, self._source)

    def _take(self, count: int) -> bytes:
        if count > self._left:
            self._fail(f"{count} bytes should follow, and {self._left} are left")
        data = self._stream.read(count)
        if len(data) != count:
            self._fail("the data ended before its stated size")
        self._left -= count
        return data

    def _fill(self, memory: memoryview) -> None:
        if len(memory) > self._left or self._stream.readinto(memory) != len(memory):
            self._fail("the data ended before its stated size")
        self._left -= len(memory)

    def _text(self, length: int) -> str:
        try:
            return self._take(length).decode()
        except UnicodeDecodeError:
            self._fail("a string is not valid UTF-8")

    def _token(self) -> tuple[int, Any]:
        first = self._take(1)[0]
        if first < 0x80:
            return _Token.VALUE, first
        if first < 0x90:
            return _Token.MAP, first & 0x0F
        if first < 0xA0:
            return _Token.ARRAY, first & 0x0F
        if first < 0xC0:
            return _Token.STRING, first & 0x1F
        if first >= 0xE0:
            return _Token.VALUE, first - 0x100
        if first in _NUMBER_READERS:
            reader = _NUMBER_READERS[first]
            return _Token.VALUE, reader.unpack(self._take(reader.size))[0]
        if first in _LENGTH_READERS:
            kind, reader = _LENGTH_READERS[first]
            return kind, reader.unpack(self._take(reader.size))[0]
        if first in _FIXED_EXTENSIONS:
            return _Token.EXTENSION, _FIXED_EXTENSIONS[first]
        if first in _WHOLE:
            return _Token.VALUE, _WHOLE[first]
        self._fail(f"the byte 0x{first:02x} starts no msgpack value")

    # -- extensions ---------------------------------------------------------------------------

    def _extension(self, length: int) -> Any:
        code = self._take(1)[0]
        if length > self._left:
            self._fail(f"{length} bytes should follow, and {self._left} are left")
        end = self._left - length
        value: Any
        if code == NDARRAY_CODE:
            value = self._array(end)
            self._note(value)
        elif code == SCALAR_CODE:
            array = self._array(end)
            if array.shape != ():
                self._fail(f"a numpy scalar has the shape {array.shape}")
            self._settle()
            value = array[()]
        elif code == COMPLEX_CODE:
            value = self._complex()
        else:
            self._fail(f"the extension type {code} is unknown")
        if self._left != end:
            self._fail("an extension is longer or shorter than its content")
        return value

    def _expect(self, kind: int, what: str) -> Any:
        found, value = self._token()
        if found != kind:
            self._fail(f"{what} is missing from an extension")
        return value

    def _array(self, end: int) -> np.ndarray[Any, Any]:
        if self._expect(_Token.ARRAY, "the list of shape, dtype and data") != 3:
            self._fail("an array is not described by shape, dtype and data")
        axes = self._expect(_Token.ARRAY, "the shape")
        if axes > self._left:
            self._fail(f"an array claims {axes} dimensions")
        shape = [self._expect(_Token.VALUE, "the size of a dimension") for _ in range(axes)]
        dtype = self._dtype()
        count = self._expect(_Token.BYTES, "the data of an array")
        try:
            needed = arrays.nbytes_of(shape, dtype)
        except ValueError as error:
            self._fail(error)
        if count != needed or self._left - count != end:
            self._fail(f"an array of {needed} bytes comes with {count} bytes")
        try:
            result = np.empty(tuple(shape), dtype)
        except (ValueError, MemoryError) as error:
            self._fail(f"an array of shape {shape} cannot be made ({error})")
        self._fill(arrays.raw_bytes(result))
        if dtype == np.bool_:
            self._settle()
        try:
            arrays.check_bits(result)
        except ValueError as error:
            self._fail(error)
        return result

    def _dtype(self) -> np.dtype[Any]:
        kind, length = self._token()
        if kind not in (_Token.STRING, _Token.BYTES) or length > 40:
            self._fail("the dtype of an array is not a name")
        try:
            return arrays.dtype_from_name(self._text(length))
        except ValueError as error:
            self._fail(error)

    def _complex(self) -> complex:
        if self._expect(_Token.ARRAY, "the real and imaginary part") != 2:
            self._fail("a complex number does not have two parts")
        real = self._expect(_Token.VALUE, "the real part")
        imag = self._expect(_Token.VALUE, "the imaginary part")
        for part in (real, imag):
            if type(part) not in (int, float):
                self._fail("a complex number has a part that is no number")
        return complex(real, imag)


# --- dicts that stand for something ---------------------------------------------------------------


def _join_chunks(items: dict[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the array whose chunks a dict holds; the dict is emptied.

    Raises:
      ValueError: if it does not hold those of an array.
    """
    shape = _numbered(items.get("shape"))
    chunks = _numbered(items.get("chunks"))
    if items[CHUNK_MARKER] is not True:
        raise ValueError(f"the mark of a chunked array is not true: {items[CHUNK_MARKER]!r:.60}")
    if len(items) != 3 or shape is None or not chunks:
        raise ValueError("a chunked array does not consist of a shape and numbered chunks")
    first = chunks[0]
    if not isinstance(first, np.ndarray):
        raise ValueError(f"a chunk is not an array but a {type(first).__name__}")
    for chunk in chunks:
        if not isinstance(chunk, np.ndarray) or chunk.dtype != first.dtype or chunk.ndim != 1:
            raise ValueError(
                f"the chunks of an array of {first.dtype} differ in dtype, or are not flat"
            )
    needed = arrays.nbytes_of(shape, first.dtype)
    present = sum(chunk.nbytes for chunk in chunks)
    if present != needed:
        raise ValueError(f"a chunked array of {needed} bytes comes with {present} bytes")
    if len(chunks) == 1:
        return first.reshape(shape)
    result = np.empty(needed // first.itemsize, first.dtype)
    start = 0
    items.clear()
    chunks.reverse()
    del first, chunk
    while chunks:  # each chunk is freed once copied, so that memory peaks one chunk above
        chunk = chunks.pop()
        result[start : start + chunk.size] = chunk
        start += chunk.size
    return result.reshape(shape)


def _prng_key(items: dict[Any, Any]) -> Any:
    """Return the PRNG keys whose generator and words a dict holds.

    Raises:
      ValueError: if it does not hold those, or there is no such generator.
    """
    name, words = items.get(KEY_MARKER), items.get("words")
    if len(items) != 2 or not isinstance(name, str) or not isinstance(words, np.ndarray):
        raise ValueError(
            f"a PRNG key does not consist of a generator's name and words: {len(items)} entries"
        )
    return arrays.key_from_parts(name, words)


def _numbered(items: Any) -> list[Any] | None:
    """Return the values of {"0": ..., "1": ..., ...} in order, or None if it is no such dict."""
    if not isinstance(items, dict):
        return None
    names = [str(index) for index in range(len(items))]
    if any(name not in items for name in names):
        return None
    return [items[name] for name in names]


_STANDING_FOR: dict[str, Callable[[dict[Any, Any]], Any]] = {
    CHUNK_MARKER: _join_chunks,
    KEY_MARKER: _prng_key,
}
"""What a dict stands for that has one of these keys."""
