"""The dtypes of safetensors, and those of its arrays whose items are no whole bytes.

Two items of 4 bits share a byte, the first in the lower half, as PyTorch's `float4_e2m1fn_x2` has
them; the shape counts items. How items of 6 bits lie is written nowhere, so arrays of these are
known by name and size, and not read.

Reference:
  Hugging Face, "Safetensors", the section on the format; Open Compute Project, "Microscaling
  Formats (MX) Specification", for the items.
"""

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from ramie.checkpoint.formats.leaf import Leaf, read_array
from ramie.errors import UnsupportedCheckpointError
from ramie.serialization import arrays

__all__ = [
    "DTYPES",
    "alignment",
    "code_of",
    "is_known",
    "is_packed",
    "leaf_of",
    "names",
    "nbytes_of",
    "pack",
    "raw",
    "refuse",
    "unpack",
]

DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "F4": np.dtype(ml_dtypes.float4_e2m1fn),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "F8_E4M3FNUZ": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "F8_E5M2FNUZ": np.dtype(ml_dtypes.float8_e5m2fnuz),
    "I16": np.dtype(np.int16),
    "U16": np.dtype(np.uint16),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I32": np.dtype(np.int32),
    "U32": np.dtype(np.uint32),
    "F32": np.dtype(np.float32),
    "C64": np.dtype(np.complex64),
    "F64": np.dtype(np.float64),
    "I64": np.dtype(np.int64),
    "U64": np.dtype(np.uint64),
}
"""The dtypes of arrays that can be read, by their names in the format."""

_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
_CODES = {dtype: code for code, dtype in DTYPES.items()}
_BYTE = np.dtype(np.uint8)


def names() -> str:
    """Return the names of the dtypes that can be written, for messages."""
    return ", ".join(dtype.name for dtype in _CODES)


def code_of(source: Any) -> str | None:
    """Return the name in the format for the dtype of an array or a leaf; None if it has none."""
    if isinstance(source, Leaf) and source.dtype is None:
        return source.unread or None
    dtype = np.dtype(source.dtype)
    return _CODES.get(dtype) or _CODES.get(dtype.newbyteorder("="))


def is_known(code: str) -> bool:
    """Tell whether a name is that of a dtype of the format, readable or not."""
    return code in DTYPES or code in _BITS


def nbytes_of(code: str, shape: Sequence[int]) -> int:
    """Return how many bytes an array takes in a file.

    Raises:
      ValueError: if there can be no such array, or its last byte would be shared with the next.
    """
    if code not in _BITS:
        return arrays.nbytes_of(shape, DTYPES[code])
    count, rest = divmod(arrays.nbytes_of(shape, _BYTE) * _BITS[code], 8)
    if rest:
        raise ValueError(f"the items of an array of {code} and shape {list(shape)} end in a byte")
    return count


def leaf_of(name: str, code: str, shape: Sequence[int], file: str, span: tuple[int, int]) -> Leaf:
    """Return the leaf of an array in a file.

    Args:
      name: its name.
      code: the name of its dtype in the format.
      shape: its shape.
      file: the file.
      span: the first of its bytes there, and how many there are.
    """
    spans = (span,)
    unread = "" if code in DTYPES else code
    leaf = Leaf((name,), tuple(shape), DTYPES.get(code), None, file, spans, unread=unread)
    if unread:
        return leaf._replace(load=lambda path: refuse(file, [leaf]))
    if code in _BITS:
        return leaf._replace(load=lambda path: unpack(read_array(raw(leaf)), leaf))
    return leaf


def raw(leaf: Leaf) -> Leaf:
    """Return the bytes of an array as an array of their own."""
    count = leaf.spans[0][1]
    return leaf._replace(shape=(count,), dtype=_BYTE, load=None, unread="")


def unpack(packed: np.ndarray[Any, Any], leaf: Leaf) -> np.ndarray[Any, Any]:
    """Return an array of items of 4 bits, each in a byte of its own.

    Args:
      packed: the bytes in the file.
      leaf: what the array is.
    """
    assert leaf.shape is not None and leaf.dtype is not None
    apart = np.stack([packed & 0x0F, packed >> 4], axis=-1)
    return apart.reshape(leaf.shape).view(leaf.dtype)


def pack(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the bytes in a file for an array in which each item of 4 bits has its own byte."""
    items = array.reshape(-1).view(np.uint8)
    return (items[0::2] & 0x0F) | (items[1::2] << 4)


def alignment(code: str) -> int:
    """Return of how many bytes the start of an array should be a multiple, to be mapped."""
    return 1 if code in _BITS else DTYPES[code].itemsize


def is_packed(code: str) -> bool:
    """Tell whether the items of a dtype are no whole bytes in a file."""
    return code in _BITS


def refuse(file: str, leaves: Sequence[Leaf]) -> Any:
    """Raise for arrays that are in order, and cannot be read.

    Raises:
      UnsupportedCheckpointError: always; names them.
    """
    kinds = ", ".join(sorted({leaf.unread for leaf in leaves}))
    first = ", ".join(repr("/".join(leaf.path)) for leaf in leaves[:3])
    more = f" and {len(leaves) - 3} others" if len(leaves) > 3 else ""
    raise UnsupportedCheckpointError(
        f'Reading arrays of {kinds}, of which "{file}" has {len(leaves)} ({first}{more}),',
        "The file is in order; load_safetensors(path, partial=True) reads the others.",
    )
