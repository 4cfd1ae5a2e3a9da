"""The outline of a msgpack file: its leaves, and where their bytes are, without reading arrays.

A file of many gigabytes is described in a moment and in little memory. As in
`serialization.decode`, nothing that the file says is trusted.
"""

import os
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ramie.checkpoint.formats.leaf import Leaf, open_regular
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

__all__ = ["names_of", "outline"]

_NUMBER, _TEXT, _BYTES, _LIST, _MAP, _EXTENSION = range(6)
_BAD_BYTE = 0xC1


class _Head(NamedTuple):
    """What the first byte of a value says: its kind, and its value or how to read it."""

    kind: int
    value: Any = None
    form: struct.Struct | None = None


def _table() -> list[_Head]:
    """Return what each first byte means, as the specification of msgpack has it."""
    table = [_Head(_NUMBER, byte) for byte in range(0x80)]
    for kind, count in ((_MAP, 16), (_LIST, 16), (_TEXT, 32)):
        table += [_Head(kind, length) for length in range(count)]
    table += [_Head(_NUMBER, value) for value in (None, None, False, True)]
    forms = [(_BYTES, "BHI"), (_EXTENSION, "BHI"), (_NUMBER, "fdBHIQbhiq")]
    table += [_Head(kind, None, struct.Struct(f">{form}")) for kind, all_ in forms for form in all_]
    table += [_Head(_EXTENSION, length) for length in (1, 2, 4, 8, 16)]
    for kind, sizes in ((_TEXT, "BHI"), (_LIST, "HI"), (_MAP, "HI")):
        table += [_Head(kind, None, struct.Struct(f">{form}")) for form in sizes]
    return table + [_Head(_NUMBER, value) for value in range(-32, 0)]


_HEADS = _table()


def outline(path: str) -> list[Leaf]:
    """Return the leaves of a msgpack file in the order of the file.

    Raises:
      MalformedDataError: if it is damaged or of another format.
    """
    with open_regular(path) as file:
        return _Walk(file, os.fstat(file.fileno()).st_size, path).run()


class _Level:
    """A container being read: its entries, how many are to come, and the key of the next."""

    __slots__ = ("items", "key", "left")

    def __init__(self, items: Any, left: int) -> None:
        self.items, self.left = items, left
        self.key: Any = None


class _Walk:
    def __init__(self, file: Any, size: int, source: str) -> None:
        self._file, self._size, self._source = file, size, source
        self._at = 0
        self._stack: list[_Level] = []

    def run(self) -> list[Leaf]:
        value, opened = self._next()
        while self._stack:
            level = self._stack[-1]
            if not opened:
                if isinstance(level.items, dict):
                    level.items[level.key] = value
                else:
                    level.items.append(value)
            if not level.left:
                self._stack.pop()
                value, opened = self._finished(level.items), False
                continue
            level.left -= 1
            level.key = self._key(level) if isinstance(level.items, dict) else len(level.items)
            value, opened = self._next()
        if self._at != self._size:
            self._fail(f"{self._size - self._at} bytes follow after the end of the tree")
        return list(_leaves(value))

    # -- the input ----------------------------------------------------------------------------

    def _fail(self, problem: Any) -> NoReturn:
        path = "/".join([".", *(str(level.key)[:60] for level in self._stack[:20])])
        raise MalformedDataError(str(problem), path, self._at, self._source)

    def _take(self, count: int) -> bytes:
        data: bytes = self._file.read(count) if count <= self._size - self._at else b""
        if len(data) != count:
            self._fail(f"{count} bytes should follow, and {self._size - self._at} are left")
        self._at += count
        return data

    def _skip(self, count: int) -> None:
        if count > self._size - self._at:
            self._fail(f"{count} bytes should follow, and {self._size - self._at} are left")
        self._file.seek(count, os.SEEK_CUR)
        self._at += count

    def _token(self) -> tuple[int, Any]:
        first = self._take(1)[0]
        if first == _BAD_BYTE:
            self._fail(f"the byte 0x{first:02x} starts no msgpack value")
        head = _HEADS[first]
        if head.form is None:
            return head.kind, head.value
        return head.kind, head.form.unpack(self._take(head.form.size))[0]

    def _text(self, length: int) -> str:
        try:
            return self._take(length).decode()
        except UnicodeDecodeError:
            self._fail("a string is not valid UTF-8")

    # -- values -------------------------------------------------------------------------------

    def _next(self) -> tuple[Any, bool]:
        """Read a leaf, or open a container; tell which."""
        kind, value = self._token()
        if kind == _NUMBER:
            return value, False
        if kind == _TEXT:
            return self._text(value), False
        if kind == _BYTES:
            return self._take(value), False
        if kind == _EXTENSION:
            return self._extension(value), False
        if len(self._stack) >= MAX_DEPTH:
            self._fail(f"the tree is nested more than {MAX_DEPTH} levels deep")
        if value * (2 if kind == _MAP else 1) > self._size - self._at:
            self._fail(f"a container claims {value} entries, more than there are bytes")
        self._stack.append(_Level({} if kind == _MAP else [], value))
        return None, True

    def _key(self, level: _Level) -> Any:
        level.key = "?"
        kind, value = self._token()
        if kind == _TEXT:
            value = self._text(value)
        elif kind == _BYTES:
            value = self._take(value)
        elif kind != _NUMBER:
            self._fail("a dict key is a container or an extension")
        if value in level.items or value != value:
            self._fail(f"the dict key {str(value)[:60]!r} occurs twice")
        return value

    def _extension(self, length: int) -> Any:
        code = self._take(1)[0]
        end = self._at + length
        value: Any
        if code in (NDARRAY_CODE, SCALAR_CODE):
            value = self._array(end)
            if code == SCALAR_CODE:
                value = value._replace(note="scalar")
        elif code == COMPLEX_CODE:
            parts = [self._expect(_LIST, "the parts of a complex number")]
            parts = [self._expect(_NUMBER, "a part of a complex number") for _ in range(parts[0])]
            if len(parts) != 2 or any(type(part) not in (int, float) for part in parts):
                self._fail("a complex number does not have two parts")
            value = complex(*parts)
        else:
            self._fail(f"the extension type {code} is unknown")
        if self._at != end:
            self._fail("an extension is longer or shorter than its content")
        return value

    def _expect(self, kind: int, what: str) -> Any:
        found, value = self._token()
        if found != kind:
            self._fail(f"{what} is missing from an extension")
        return value

    def _array(self, end: int) -> Leaf:
        if self._expect(_LIST, "the list of shape, dtype and data") != 3:
            self._fail("an array is not described by shape, dtype and data")
        axes = self._expect(_LIST, "the shape")
        if axes > end - self._at:
            self._fail(f"an array claims {axes} dimensions")
        shape = [self._expect(_NUMBER, "the size of a dimension") for _ in range(axes)]
        kind, length = self._token()
        if kind not in (_TEXT, _BYTES) or length > 40:
            self._fail("the dtype of an array is not a name")
        try:
            dtype = arrays.dtype_from_name(self._text(length))
            needed = arrays.nbytes_of(shape, dtype)
        except ValueError as error:
            self._fail(error)
        count = self._expect(_BYTES, "the data of an array")
        if count != needed:
            self._fail(f"an array of {needed} bytes comes with {count} bytes")
        leaf = Leaf((), tuple(shape), dtype, None, self._source, ((self._at, count),))
        self._skip(count)
        return leaf

    # -- dicts that stand for something -------------------------------------------------------

    def _finished(self, items: Any) -> Any:
        if isinstance(items, dict) and CHUNK_MARKER in items:
            return self._joined(items)
        if isinstance(items, dict) and KEY_MARKER in items:
            name, words = items[KEY_MARKER], items.get("words", "")
            if len(items) != 2 or not isinstance(name, str) or not _is_array(words):
                self._fail("a PRNG key does not consist of a generator's name and words")
            try:
                arrays.check_key(name, words.shape, words.dtype)
            except ValueError as error:
                self._fail(error)
            return words._replace(note=name)
        return items

    def _joined(self, items: dict[Any, Any]) -> Leaf:
        shape, chunks = _in_order(items.get("shape")), _in_order(items.get("chunks"))
        if items[CHUNK_MARKER] is not True:
            self._fail(f"the mark of a chunked array is not true: {items[CHUNK_MARKER]!r:.60}")
        if len(items) != 3 or shape is None or not chunks:
            self._fail("a chunked array does not consist of a shape and numbered chunks")
        if not all(map(_is_array, chunks)):
            self._fail("a chunk is not an array")
        dtype: np.dtype[Any] = chunks[0].dtype
        if any(chunk.dtype != dtype or len(chunk.shape) != 1 for chunk in chunks):
            self._fail("the chunks of an array differ in dtype, or are not flat")
        spans = tuple(span for chunk in chunks for span in chunk.spans)
        try:
            needed = arrays.nbytes_of(shape, dtype)
        except ValueError as error:
            self._fail(error)
        if needed != sum(count for _, count in spans):
            self._fail("the chunks of an array have more or fewer bytes than its shape")
        return Leaf((), tuple(shape), dtype, None, self._source, spans)


def _is_array(value: Any) -> bool:
    """Tell whether a value is an array, and neither a scalar nor the words of keys."""
    return isinstance(value, Leaf) and not value.note


def _in_order(items: Any) -> list[Any] | None:
    """Return the values of {"0": ..., "1": ..., ...} in order, or None if it is no such dict."""
    if not isinstance(items, dict) or any(str(i) not in items for i in range(len(items))):
        return None
    return [items[str(i)] for i in range(len(items))]


def _leaves(tree: Any) -> Iterator[Leaf]:
    todo: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, Leaf):
            yield value._replace(path=path)
        elif isinstance(value, (dict, list)) and value:
            names = names_of(value) if isinstance(value, dict) else map(str, range(len(value)))
            entries = value.values() if isinstance(value, dict) else value
            named = [((*path, name), entry) for name, entry in zip(names, entries, strict=True)]
            todo += reversed(named)
        else:
            yield Leaf(path, value=value)


def names_of(items: dict[Any, Any]) -> list[str]:
    """Return a name for each key; where 0 and "0" would have the same, that of the text is plain.

    Example:
      >>> names_of({"a": 1, 0: 2, "0": 3, b"a": 4})
      ['a', '0 (int)', '0', "b'a' (bytes)"]
    """
    taken = {key for key in items if isinstance(key, str)}
    found: list[str] = []
    for key in items:
        name = key.decode(errors="backslashreplace") if isinstance(key, bytes) else str(key)
        if not isinstance(key, str):
            if name in taken:
                name = f"{key!r} ({type(key).__name__})"
            while name in taken:
                name += "'"
            taken.add(name)
        found.append(name)
    return found
