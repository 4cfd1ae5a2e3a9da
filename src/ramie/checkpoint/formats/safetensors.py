"""Safetensors: a header of names, dtypes, shapes and offsets in JSON, then the bytes of arrays.

The format is simple enough to be read and written here, with arrays streamed and every number of
the header checked; the package `safetensors` is not needed.

It holds arrays under flat names, and strings about the file. Leaves that are no arrays (the step
of a training state, None, empty containers) go into one such string, as JSON, so that a tree comes
back as it was; other readers do not see it.

Reference:
  Hugging Face, "Safetensors", the section on the format.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import ml_dtypes
import numpy as np

from ramie.checkpoint.formats.leaf import Leaf, open_regular, read_array
from ramie.checkpoint.storage import integrity, parallel
from ramie.errors import CheckpointOptionError, FormatLimitError, MalformedDataError
from ramie.errors.base import saved_instead
from ramie.serialization import arrays

__all__ = [
    "INDEX_SUFFIX",
    "Header",
    "Tensor",
    "header_bytes",
    "index_page",
    "outline",
    "outline_index",
    "pieces",
    "plan",
]

INDEX_SUFFIX = ".safetensors.index.json"
"""How the name of the page ends that says which of many files holds which array."""

VALUES = "ramie.values"
"""The name of the string that holds leaves which are no arrays."""

_NAME = "safetensors"
_WRITER = "a writer of safetensors"
_MAX_HEADER = 100_000_000  # what other readers accept
_DTYPES = {
    "BOOL": np.dtype(np.bool_),
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
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_PLAIN = (bool, int, float, str, type(None))
_SHARD = re.compile(r"[^/\\\0]+")


class Tensor(NamedTuple):
    """An array to be written: its name, and whatever `arrays.to_host` takes or a `Leaf`."""

    name: str
    source: Any

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""
        return np.dtype(self.source.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self.source.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes it takes."""
        return math.prod(self.shape) * self.dtype.itemsize


class Header(NamedTuple):
    """What the header of a file says.

    Attributes:
      leaves: the arrays in the order of their bytes, each with its whole name as its path.
      metadata: the strings about the file.
      values: leaves that are no arrays, by name.
    """

    leaves: list[Leaf]
    metadata: dict[str, str]
    values: dict[str, Any]


# --- writing --------------------------------------------------------------------------------------


def plan(
    leaves: Mapping[tuple[str, ...], Any], separator: str | None
) -> tuple[list[Tensor], dict[str, Any]]:
    """Name the leaves of a tree, arrays and others apart.

    Args:
      leaves: arrays and plain values by path.
      separator: what stands between the keys; None if there is one key to each path.

    Returns:
      The arrays in the order in which they are to be written, and the other leaves by name.

    Raises:
      CheckpointOptionError: if a key contains the separator.
      FormatLimitError: if the format cannot hold a leaf.
    """
    tensors, values = [], {}
    for path, leaf in leaves.items():
        instead = saved_instead(leaf)
        if instead:
            raise FormatLimitError(_NAME, f"a {type(leaf).__name__}", "/".join(path), instead)
        name = _join(path, separator)
        if hasattr(leaf, "dtype") and hasattr(leaf, "shape"):
            _check_dtype(leaf, path)
            tensors.append(Tensor(name, leaf))
        elif isinstance(leaf, _PLAIN) or leaf in ({}, []):
            values[name] = leaf
        else:
            what = f"a value of type {type(leaf).__name__}"
            raise FormatLimitError(_NAME, what, "/".join(path), "Save it as msgpack, or leave out")
    # Large items first: then each array is aligned to its items, and can be mapped.
    tensors.sort(key=lambda tensor: (-tensor.dtype.itemsize, tensor.name))
    return tensors, values


def _join(path: tuple[str, ...], separator: str | None) -> str:
    if separator is None:
        if len(path) != 1:
            raise CheckpointOptionError("separator", None, f"the tree is nested at {path}")
        return path[0]
    for key in path:
        if separator in key:
            raise CheckpointOptionError(
                "separator", separator, f"the key {key!r} contains it; choose another one"
            )
    name = separator.join(path)
    if name in ("", "__metadata__"):
        raise FormatLimitError(_NAME, f"an array called {name!r}", name, "Save a dictionary of it")
    return name


def _check_dtype(leaf: Any, path: tuple[str, ...]) -> None:
    place = "/".join(path)
    if (isinstance(leaf, Leaf) and leaf.note not in ("", "scalar")) or not _is_plain(leaf.dtype):
        hint = "Save the words of jax.random.key_data instead"
        raise FormatLimitError(_NAME, "PRNG keys", place, hint)
    if np.dtype(leaf.dtype).newbyteorder("=") not in _CODES:
        hint = "Convert it to one of " + ", ".join(dtype.name for dtype in _CODES)
        raise FormatLimitError(_NAME, f"an array of dtype {leaf.dtype}", place, hint)


def _is_plain(dtype: Any) -> bool:
    try:
        np.dtype(dtype)
    except TypeError:
        return False
    return True


def header_bytes(
    tensors: list[Tensor], metadata: Mapping[str, str], values: Mapping[str, Any]
) -> bytes:
    """Return what a file starts with.

    Raises:
      CheckpointOptionError: if the metadata are not strings.
      FormatLimitError: if it gets too long for other readers.
    """
    for key, text in metadata.items():
        if not isinstance(key, str) or not isinstance(text, str) or key == VALUES:
            raise CheckpointOptionError(
                "metadata", {key: text}, f"it has to be strings by name, none called {VALUES!r}"
            )
    page: dict[str, Any] = {}
    strings = dict(metadata)
    if values:
        strings[VALUES] = json.dumps(values)
    if strings:
        page["__metadata__"] = strings
    start = 0
    for tensor in tensors:
        end = start + tensor.nbytes
        code = _CODES[tensor.dtype.newbyteorder("=")]
        page[tensor.name] = {
            "dtype": code,
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    head = json.dumps(page, separators=(",", ":"), ensure_ascii=False).encode()
    head += b" " * (-len(head) % 8)
    if len(head) > _MAX_HEADER:
        hint = "Save parts of it to files of their own"
        raise FormatLimitError(_NAME, f"a header of {len(head)} bytes", "", hint)
    return len(head).to_bytes(8, "little") + head


def index_page(shards: Mapping[str, list[Tensor]]) -> bytes:
    """Return the page that says which file holds which array.

    Args:
      shards: the arrays by the name of their file.
    """
    places = {tensor.name: file for file, shard in shards.items() for tensor in shard}
    total = sum(tensor.nbytes for shard in shards.values() for tensor in shard)
    page = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    return json.dumps(page, indent=2, ensure_ascii=False).encode() + b"\n"


# --- reading --------------------------------------------------------------------------------------


def _fail(path: str, problem: str, name: str = ".") -> NoReturn:
    raise MalformedDataError(problem, name[:200], source=path, writer=_WRITER)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name[:60]!r} occurs twice")
        found[name] = value
    return found


def _load_page(path: str, text: bytes) -> dict[str, Any]:
    try:
        page = json.loads(text.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        _fail(path, f"the header is not valid JSON ({error})")
    if not isinstance(page, dict):
        _fail(path, "the header is no JSON object")
    return page


def outline(path: str) -> Header:
    """Read the header of a file, and check it against the length of the file.

    Raises:
      MalformedDataError: if it is damaged or of another format.
    """
    with open_regular(path) as file:
        return _header(path, file, os.fstat(file.fileno()).st_size)


def _header(path: str, stream: Any, size: int) -> Header:
    length = int.from_bytes(stream.read(8), "little")
    if size < 8 or length > min(size - 8, _MAX_HEADER):
        _fail(path, f"a header of {length} bytes does not fit into {size} bytes")
    text = stream.read(length)
    page = _load_page(path, text)
    strings = page.pop("__metadata__", {})
    if not isinstance(strings, dict) or not all(isinstance(v, str) for v in strings.values()):
        _fail(path, "the metadata are not strings by name")
    leaves = [_leaf(path, name, entry, 8 + length) for name, entry in page.items()]
    leaves.sort(key=lambda leaf: leaf.spans)
    at = 8 + length
    for leaf in leaves:
        start, count = leaf.spans[0]
        if start != at:
            _fail(path, "the bytes of arrays overlap, or leave a gap", leaf.path[0])
        at += count
    if at != size:
        _fail(path, f"the arrays end at byte {at}, and the file at {size}")
    return Header(leaves, strings, _values(path, strings.pop(VALUES, "{}")))


def _leaf(path: str, name: str, entry: Any, data: int) -> Leaf:
    try:
        code, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        dtype = _DTYPES[code]
        needed = arrays.nbytes_of(shape, dtype)
    except (KeyError, TypeError, ValueError) as error:
        _fail(path, f"the entry is not dtype, shape and data_offsets ({error!r:.100})", name)
    if type(start) is not int or type(end) is not int or start < 0 or end - start != needed:
        _fail(path, f"an array of {needed} bytes is said to be at {start} to {end}"[:200], name)
    return Leaf((name,), tuple(shape), dtype, None, path, ((data + start, needed),))


def _values(path: str, text: str) -> dict[str, Any]:
    values = _load_page(path, text.encode())
    for name, value in values.items():
        if not isinstance(value, _PLAIN) and value not in ({}, []):
            _fail(path, f"{VALUES} holds more than plain values", name)
    return values


def read(path: str) -> tuple[Header, dict[str, np.ndarray[Any, Any]]]:
    """Read the arrays of a file by name, each into memory of its own, and what else it holds.

    If the file has a manifest, everything read is compared with the checksums there.

    Raises:
      DamagedCheckpointError: if it is not what was saved; a MalformedDataError.
      MalformedDataError: if it is damaged or of another format.
    """
    manifest = integrity.read_manifest(path)
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        known = manifest is not None and bool(manifest.records)
        chunk = manifest.records[0].chunk if manifest is not None and known else 0
        stream = parallel.ParallelStream(file.fileno(), status.st_size, chunk, path)
        try:
            try:
                return _content(path, stream, status.st_size)
            finally:
                # Also when this failed: the checksums tell damage from a file of another kind.
                found = stream.record()
                if manifest is not None and known:
                    integrity.compare(path, manifest, found, status.st_ino)
        finally:
            stream.close()


def _content(path: str, stream: Any, size: int) -> tuple[Header, dict[str, np.ndarray[Any, Any]]]:
    header = _header(path, stream, size)
    found = {}
    for leaf in header.leaves:  # they follow each other without gaps
        array = np.empty(leaf.shape or (), leaf.dtype)
        memory = arrays.raw_bytes(array)
        if stream.readinto(memory) != len(memory):
            _fail(path, "the file became shorter while it was read", leaf.path[0])
        found[leaf.path[0]] = array
    stream.settle()
    for name, array in found.items():
        try:
            arrays.check_bits(array)
        except ValueError as error:
            _fail(path, str(error), name)
    return header, found


def outline_index(path: str) -> Header:
    """Read a page that spreads arrays over files, and the headers of these.

    Raises:
      MalformedDataError: if the page or a file is damaged, or they contradict each other.
    """
    with open_regular(path) as file:
        page = _load_page(path, file.read(min(os.fstat(file.fileno()).st_size, _MAX_HEADER)))
    places, about = page.get("weight_map"), page.get("metadata", {})
    if not isinstance(places, dict) or not isinstance(about, dict):
        _fail(path, "it has no weight_map")
    names = sorted({place for place in places.values() if isinstance(place, str)})
    for place in places.values():
        if not isinstance(place, str) or not _SHARD.fullmatch(place) or place in (".", ".."):
            _fail(path, f"{str(place)[:60]!r} is not the name of a file beside it")
    folder = os.path.dirname(path)
    leaves: list[Leaf] = []
    metadata: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name in names:
        place = os.path.join(folder, name)
        if not os.path.isfile(place):
            _fail(path, f"the file {name!r} is missing")
        header = outline(place)
        metadata, values = metadata | header.metadata, values | header.values
        for leaf in header.leaves:
            if places.pop(leaf.path[0], None) != name:
                _fail(
                    path, f"the array is in {name!r}, and the index does not say so", leaf.path[0]
                )
            leaves.append(leaf)
    if places:
        _fail(path, f"{len(places)} arrays are in none of the files", next(iter(places)))
    return Header(leaves, metadata, values)


def pieces(head: bytes, tensors: list[Tensor]) -> Iterator[Any]:
    """Yield the content of a file, one array after the other."""
    yield head
    for tensor in tensors:
        if isinstance(tensor.source, Leaf):
            yield arrays.raw_bytes(read_array(tensor.source))
        else:
            yield arrays.raw_bytes(arrays.to_host(tensor.source))
