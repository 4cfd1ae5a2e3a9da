"""The public functions between trees and msgpack bytes."""

import importlib
from collections.abc import Iterator
from typing import Any, TypeVar

from ramie.serialization.decode_whole import decode_whole
from ramie.serialization.encode import Piece, encode_pieces
from ramie.serialization.state_dict import from_state_dict, to_state_dict

__all__ = [
    "MAX_CHUNK_SIZE",
    "from_bytes",
    "msgpack_restore",
    "msgpack_serialize",
    "state_pieces",
    "to_bytes",
]

T = TypeVar("T")

MAX_CHUNK_SIZE = 2**30
"""Arrays with more bytes than this are written in chunks; readers do not need to know it."""


def _max_chunk_size() -> int:
    # Read from the package at each call: that is where users set it, as they do in Flax.
    return importlib.import_module(__package__).MAX_CHUNK_SIZE


def msgpack_serialize(pytree: Any, in_place: bool = False) -> bytes:
    """Return the msgpack bytes of a tree of dicts, lists and leaves.

    Other containers go through `to_state_dict` first; `to_bytes` does both. Arrays above
    `MAX_CHUNK_SIZE` bytes are split into chunks, which the readers join again.

    Args:
      pytree: dicts, lists, arrays of any plain dtype, PRNG keys, numpy scalars, complex numbers
        and the values that msgpack knows. It is never changed.
      in_place: write dict entries in the dict's own order instead of sorted by key.

    Raises:
      TypeError: for a leaf of another type; the message names its path.
      ValueError: for a value that cannot be written, such as an array of objects.

    Example:
      >>> from ramie import serialization
      >>> serialization.msgpack_restore(serialization.msgpack_serialize({"a": [1, 2.5]}))
      {'a': [1, 2.5]}

    Differs from Flax:
      With `in_place` Flax replaces the arrays in the tree by numpy arrays and chunks; this one
      needs no such thing to save memory, and only the order of entries depends on it.
    """
    return b"".join(encode_pieces(pytree, _max_chunk_size(), sort_keys=not in_place))


def msgpack_restore(encoded_pytree: bytes | bytearray | memoryview) -> Any:
    """Return the tree that `msgpack_serialize` was given.

    Args:
      encoded_pytree: its bytes, which may come from anywhere: they are checked.

    Returns:
      Dicts, lists, numpy arrays (jax arrays become numpy ones, PRNG keys stay keys) and plain
      values.

    Raises:
      MalformedDataError: if the bytes are damaged or of another format; a ValueError.
      TypeError: if the argument is not bytes.
    """
    if not isinstance(encoded_pytree, (bytes, bytearray, memoryview)):
        raise TypeError(
            "msgpack_restore reads a bytes-like object, not a value of type "
            f"{type(encoded_pytree).__name__}"
        )
    return decode_whole(encoded_pytree)


def state_pieces(state: Any) -> Iterator[Piece]:
    """Yield the bytes of a state dict piece by piece, large arrays as views of their memory."""
    return encode_pieces(state, _max_chunk_size())


def to_bytes(target: Any) -> bytes:
    """Return the state of any registered container, or of a leaf, as msgpack bytes.

    Example:
      >>> from ramie import serialization
      >>> serialization.to_bytes({"step": 3})
      b'\\x81\\xa4step\\x03'
    """
    return b"".join(state_pieces(to_state_dict(target)))


def from_bytes(target: T, encoded_bytes: bytes | bytearray | memoryview) -> T:
    """Return a copy of `target` with the values that `to_bytes` saved.

    Args:
      target: a tree of the structure that was saved, or None for the plain state dict.
      encoded_bytes: the bytes.

    Raises:
      MalformedDataError: if the bytes are damaged or of another format; a ValueError.
      ValueError: if the saved structure does not match; the message names the path.

    Example:
      >>> from ramie import serialization
      >>> serialization.from_bytes((0, 0), serialization.to_bytes((1, 2)))
      (1, 2)
    """
    return from_state_dict(target, msgpack_restore(encoded_bytes))
