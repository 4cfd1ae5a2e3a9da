"""Writing: a tree of dicts, lists and leaves as msgpack, in pieces that need not be joined.

Arrays are extension type 1, complex numbers 2, numpy scalars 3; the payload of an array is the
msgpack list (shape, dtype name, raw bytes). Arrays above the chunk size become a dict of chunks.
What is small goes through one buffer; the bytes of large arrays are handed on as views, so that
writing a tree takes no second copy of it.
"""

import itertools
import math
import struct
from collections.abc import Iterator
from typing import Any

import jax
import msgpack
import numpy as np

from ramie.errors import MalformedDataError
from ramie.errors.base import saved_instead
from ramie.serialization import arrays

__all__ = [
    "CHUNK_MARKER",
    "COMPLEX_CODE",
    "KEY_MARKER",
    "MAX_DEPTH",
    "NDARRAY_CODE",
    "SCALAR_CODE",
    "encode_pieces",
]

NDARRAY_CODE = 1
COMPLEX_CODE = 2
SCALAR_CODE = 3
CHUNK_MARKER = "__msgpack_chunked_array__"
KEY_MARKER = "__ramie_prng_key__"
MAX_DEPTH = 1000

# An extension holds at most 2**32 - 1 bytes, a few of which are the array's shape and dtype.
_EXTENSION_LIMIT = 2**32 - 1024
_INLINE = 1 << 15
_BUFFER = 1 << 18
_MOST_KEYS = 4096
_BATCH = 128
_LARGEST_IN_BATCH = 1 << 10
_NATIVE = frozenset({type(None), bool, int, float, str, bytes, bytearray, memoryview})
_DEVICE_ARRAYS: set[type] = set()  # the types of jax arrays with bytes, as they were met
_FIXED_EXTENSIONS = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}

Piece = bytes | bytearray | memoryview


def encode_pieces(tree: Any, chunk_size: int, sort_keys: bool = False) -> Iterator[Piece]:
    """Yield the msgpack bytes of a tree, piece by piece.

    Args:
      tree: dicts and lists of arrays, numpy scalars and plain Python values. It is not changed.
      chunk_size: arrays with more bytes than this are split. Arrays inside lists are not, unless
        msgpack could not hold them otherwise.
      sort_keys: write dict entries sorted by key instead of in the dict's order.

    Yields:
      Bytes, or views of the arrays' memory, valid as long as the tree is not changed.

    Raises:
      TypeError: for a leaf of a type that the format does not have.
      ValueError: for a value of a known type that cannot be written.
    """
    return _Encoder(chunk_size, sort_keys).run(tree)


class _InOrder(dict[str, Any]):
    """A dict that keeps its order even where entries are sorted: chunk "10" comes after "2"."""


class _Level:
    """One open container: what is still to be written of it, and where it stands."""

    __slots__ = ("chunked", "entries", "in_batches", "is_map", "name")

    def __init__(self, entries: Iterator[tuple[Any, Any]], is_map: bool, chunked: bool) -> None:
        self.entries = entries
        self.is_map = is_map
        self.chunked = chunked
        self.in_batches = True  # until that turns out not to be possible
        self.name: Any = ""


class _Encoder:
    """The state of one run: the buffer of small pieces and the stack of open containers."""

    def __init__(self, chunk_size: int, sort_keys: bool) -> None:
        self._chunk_size = min(max(chunk_size, 0), _EXTENSION_LIMIT)
        self._sort_keys = sort_keys
        self._packer = msgpack.Packer(strict_types=True)
        self._buffer = bytearray()
        self._stack: list[_Level] = []
        self._heads: dict[tuple[tuple[int, ...], np.dtype[Any]], bytes | None] = {}
        self._names: dict[Any, bytes] = {}

    def run(self, tree: Any) -> Iterator[Piece]:
        yield from self._value(tree, chunked=True)
        while self._stack:
            level, depth = self._stack[-1], len(self._stack)
            entry = self._small_entries(level)
            while entry is not None:
                key, value = entry
                level.name = key
                if level.is_map:
                    self._native(key, "key")
                yield from self._value(value, level.chunked)
                if len(self._stack) > depth:
                    break  # its entries come first
                entry = self._small_entries(level)
            else:
                self._stack.pop()
            if len(self._buffer) >= _BUFFER:
                yield self._flush()
        yield self._flush()

    def _small_entries(self, level: _Level) -> tuple[Any, Any] | None:
        """Write entries that are small arrays of usual types; there may be very many of them.

        Returns:
          The first entry that is something else; None at the end of the level.
        """
        while level.in_batches and len(self._buffer) <= _BUFFER:
            entries = list(itertools.islice(level.entries, _BATCH))
            if not (entries and self._write_batch(entries, level.is_map)):
                level.in_batches = False
                level.entries = itertools.chain(entries, level.entries)
        buffer, heads, names = self._buffer, self._heads, self._names
        for key, value in level.entries:
            array = value
            if type(value) is not np.ndarray:
                if type(value) not in _DEVICE_ARRAYS:
                    return key, value
                try:
                    array = np.asarray(value)
                except Exception:  # `_host` meets it too, and says what it means
                    return key, value
            form = (array.shape, array.dtype)
            head = heads[form] if form in heads else self._small_head(*form)
            name = (names.get(key) or self._small_key(key)) if level.is_map else b""
            if head is None or name is None or len(buffer) > _BUFFER:
                return key, value
            buffer += name
            buffer += head
            buffer += array.tobytes()
        return None

    def _write_batch(self, entries: list[tuple[Any, Any]], is_map: bool) -> bool:
        """Write entries at once, if all are small jax arrays; False if nothing was written.

        Joining bytes reads the memory of a jax array in half the time that NumPy takes to get at
        it. That fails for arrays that were deleted, are on several devices or not in host memory,
        and of dtypes that Python has no format for: those are left to others.
        """
        keys, values = zip(*entries, strict=True)
        if not _DEVICE_ARRAYS.issuperset(map(type, values)):
            return False
        forms = [(value.shape, value.dtype) for value in values]
        # Comparing is faster than hashing, and most batches are of one form.
        alike = forms.count(forms[0]) == len(forms)
        for form in forms[:1] if alike else set(forms):
            head = self._heads[form] if form in self._heads else self._small_head(*form)
            nbytes = math.prod(form[0]) * form[1].itemsize
            if head is None or form[1].kind not in "biufc" or nbytes > _LARGEST_IN_BATCH:
                return False
        parts: list[Any] = [b""] * (3 * len(entries))
        if is_map:
            names = self._names
            parts[::3] = [names.get(key) or self._small_key(key) for key in keys]
        parts[1::3] = [head] * len(forms) if alike else map(self._heads.__getitem__, forms)
        parts[2::3] = values
        try:
            self._buffer += b"".join(parts)
        except Exception:  # whatever it is, fetching the arrays one by one meets it too
            return False
        return True

    def _value(self, value: Any, chunked: bool) -> Iterator[Piece]:
        """Write a leaf, or open a container whose entries `run` then writes."""
        kind = type(value)
        if kind in _NATIVE:
            self._native(value, "value")
        elif kind is dict or kind is _InOrder:
            self._open(value, self._entries(value), chunked)
        elif kind is list:
            self._open(value, enumerate(value), chunked=False)
        elif isinstance(value, np.generic):
            yield from self._array(value, SCALAR_CODE)
        elif isinstance(value, jax.Array) and arrays.is_prng_key(value):
            self._keys(value, chunked)
        elif isinstance(value, (np.ndarray, jax.Array)):
            if isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer):
                _DEVICE_ARRAYS.add(kind)
            limit = self._chunk_size if chunked else _EXTENSION_LIMIT
            if value.nbytes > limit:
                self._chunks(value, limit)
            else:
                yield from self._array(value, NDARRAY_CODE)
        elif kind is complex:
            payload = self._packer.pack([value.real, value.imag])
            self._buffer += _extension_header(len(payload), COMPLEX_CODE) + payload
        else:
            raise TypeError(
                f"can not serialize {kind.__qualname__!r} object at path {self._path()}. "
                + _remedy(value)
            )
        if len(self._buffer) >= _BUFFER:
            yield self._flush()

    def _small_head(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes | None:
        """Return what stands before the bytes of arrays that are small and need no conversion."""
        nbytes = math.prod(shape) * dtype.itemsize
        head = None
        if nbytes <= min(_INLINE, self._chunk_size) and arrays.is_plain(dtype):
            head = _array_head(shape, dtype, nbytes, NDARRAY_CODE)
        self._heads[shape, dtype] = head
        return head

    def _small_key(self, key: Any) -> bytes | None:
        """Return a key as it is written, if it is a text; many occur many times."""
        if type(key) is not str:
            return None
        try:
            packed = bytes(self._packer.pack(key))
        except ValueError:  # `_native` meets it too
            return None
        if len(self._names) < _MOST_KEYS:
            self._names[key] = packed
        return packed

    def _path(self) -> str:
        return "/".join([".", *(str(level.name) for level in self._stack)])

    def _error(self, problem: Any) -> ValueError:
        return ValueError(f"Cannot serialize the value at path {self._path()}: {problem}.")

    def _flush(self) -> bytearray:
        full, self._buffer = self._buffer, bytearray()
        return full

    def _native(self, value: Any, role: str) -> None:
        if type(value) not in _NATIVE:
            raise TypeError(
                f"can not serialize {type(value).__qualname__!r} object as a dict {role} at path "
                f"{self._path()}; keys are strings or plain numbers."
            )
        try:
            self._buffer += self._packer.pack(value)
        except OverflowError as error:
            raise OverflowError(
                f"The integer at path {self._path()} does not fit in 64 bits, which is all that "
                "msgpack has; save it as a string or a float."
            ) from error
        except (ValueError, BufferError) as error:
            raise self._error(f"the {role} has no msgpack form ({error})") from error

    def _entries(self, items: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
        if not self._sort_keys or type(items) is _InOrder:
            return iter(items.items())
        try:
            return iter([(key, items[key]) for key in sorted(items)])
        except TypeError:  # keys of several types have no order but the dict's
            return iter(items.items())

    def _open(self, value: Any, entries: Iterator[tuple[Any, Any]], chunked: bool) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise ValueError(
                f"The tree is nested more than {MAX_DEPTH} levels deep at path "
                f"{self._path()[:100]}...; a container that contains itself cannot be saved."
            )
        is_map = not isinstance(value, list)
        pack_header = self._packer.pack_map_header if is_map else self._packer.pack_array_header
        self._buffer += pack_header(len(value))
        self._stack.append(_Level(entries, is_map, chunked))

    def _keys(self, keys: jax.Array, chunked: bool) -> None:
        try:
            name, words = arrays.key_parts(keys)
        except ValueError as error:
            raise self._error(error) from error
        items = _InOrder({KEY_MARKER: name, "words": words})
        self._open(items, self._entries(items), chunked)

    def _chunks(self, value: Any, limit: int) -> None:
        """Open the dict that stands for a large array; its chunks are views of one flat array."""
        host = self._host(value)
        flat = host.reshape(-1)
        step = max(1, limit // host.itemsize)
        items = _InOrder(
            {
                CHUNK_MARKER: True,
                "shape": _InOrder({str(axis): size for axis, size in enumerate(host.shape)}),
                "chunks": _InOrder(
                    {
                        str(index): flat[start : start + step]
                        for index, start in enumerate(range(0, flat.size, step))
                    }
                ),
            }
        )
        self._open(items, self._entries(items), chunked=False)

    def _host(self, value: Any) -> np.ndarray[Any, Any]:
        try:
            return arrays.to_host(value)
        except MalformedDataError:
            raise  # of the file that it is read from
        except ValueError as error:
            raise self._error(error) from error

    def _array(self, value: Any, code: int) -> Iterator[Piece]:
        host = self._host(value)
        data = arrays.raw_bytes(host)
        self._buffer += _array_head(host.shape, host.dtype, len(data), code)
        if len(data) <= _INLINE:
            self._buffer += data
        else:
            yield self._flush()
            yield data


def _array_head(shape: tuple[int, ...], dtype: np.dtype[Any], nbytes: int, code: int) -> bytes:
    """Return what stands before the bytes of an array."""
    inner = b"\x93" + msgpack.packb(list(shape)) + msgpack.packb(dtype.name)
    inner += _bytes_header(nbytes)
    return _extension_header(len(inner) + nbytes, code) + inner


def _bytes_header(length: int) -> bytes:
    if length < 2**8:
        return struct.pack(">BB", 0xC4, length)
    if length < 2**16:
        return struct.pack(">BH", 0xC5, length)
    return struct.pack(">BI", 0xC6, length)


def _extension_header(length: int, code: int) -> bytes:
    if length in _FIXED_EXTENSIONS:
        return struct.pack(">BB", _FIXED_EXTENSIONS[length], code)
    if length < 2**8:
        return struct.pack(">BBB", 0xC7, length, code)
    if length < 2**16:
        return struct.pack(">BHB", 0xC8, length, code)
    return struct.pack(">BIB", 0xC9, length, code)


def _remedy(value: Any) -> str:
    """Say what to serialize in place of an object that cannot be."""
    instead = saved_instead(value)
    if instead:
        return f"{instead}."
    return (
        "Leaves are arrays, numbers, strings, bytes, booleans and None; make containers state "
        "dicts with to_state_dict, after registering their type with register_serialization_state."
    )
