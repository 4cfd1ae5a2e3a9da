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
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np

from ramie.checkpoint.formats import safetensors_types as types
from ramie.checkpoint.formats.leaf import Leaf, open_regular, read_array
from ramie.checkpoint.storage import integrity, parallel, remote
from ramie.errors import CheckpointOptionError, FormatLimitError, MalformedDataError
from ramie.errors.base import saved_instead
from ramie.serialization import arrays

__all__ = [
    "MAX_HEADER",
    "Header",
    "Tensor",
    "fail",
    "header_bytes",
    "load_page",
    "outline",
    "pieces",
    "plan",
]

MAX_HEADER = 100_000_000
"""How many bytes of a header other readers accept."""

VALUES = "ramie.values"
"""The name of the string that holds leaves which are no arrays."""

_NAME = "safetensors"
_WRITER = "a writer of safetensors"
_PLAIN = (bool, int, float, str, type(None))


class Tensor(NamedTuple):
    """An array to be written.

    Attributes:
      name: its name.
      source: whatever `arrays.to_host` takes, or a `Leaf`.
      code: the name of its dtype in the format.
      nbytes: how many bytes it takes.
    """

    name: str
    source: Any
    code: str
    nbytes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self.source.shape)

    def content(self) -> memoryview:
        """Return its bytes in a file."""
        if isinstance(self.source, Leaf):
            leaf = self.source
            packed = types.is_packed(self.code) and leaf.load is not None and bool(leaf.spans)
            array = read_array(types.raw(leaf) if packed else leaf)
        else:
            try:
                array, packed = arrays.to_host(self.source), False
            except ValueError as error:
                raise ValueError(f"Cannot save the array {self.name!r}: {error}.") from None
        if types.is_packed(self.code) and not packed:
            array = types.pack(array)
        return arrays.raw_bytes(array)


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
        if path == () and isinstance(leaf, dict) and not leaf:
            continue  # a tree of nothing
        instead = saved_instead(leaf)
        if instead:
            raise FormatLimitError(_NAME, f"a {type(leaf).__name__}", "/".join(path), instead)
        name = _join(path, separator)
        if hasattr(leaf, "dtype") and hasattr(leaf, "shape"):
            tensors.append(Tensor(name, leaf, *_code_and_size(leaf, path)))
        elif isinstance(leaf, _PLAIN) or leaf in ({}, []):
            values[name] = leaf
        else:
            what = f"a value of type {type(leaf).__name__}"
            raise FormatLimitError(_NAME, what, "/".join(path), "Save it as msgpack, or leave out")
    # Large items first: then each array is aligned to its items, and can be mapped.
    tensors.sort(key=lambda tensor: (-types.alignment(tensor.code), tensor.name))
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


def _code_and_size(leaf: Any, path: tuple[str, ...]) -> tuple[str, int]:
    place = "/".join(path)
    if isinstance(leaf, Leaf):
        is_key = leaf.note not in ("", "scalar")
    else:
        is_key = isinstance(leaf, jax.Array) and arrays.is_prng_key(leaf)
    if is_key:
        hint = "Save the words of jax.random.key_data instead"
        raise FormatLimitError(_NAME, "PRNG keys", place, hint)
    try:
        code = types.code_of(leaf)
    except TypeError:  # of a library with dtypes of its own
        hint = "Save numpy.asarray of it"
        raise FormatLimitError(_NAME, f"a {type(leaf).__name__}", place, hint) from None
    if code is None:
        hint = f"Convert it to one of {types.names()}"
        raise FormatLimitError(_NAME, f"an array of dtype {leaf.dtype}", place, hint)
    try:
        return code, types.nbytes_of(code, tuple(leaf.shape))
    except ValueError:
        hint = "Append one more, or convert it to bfloat16"
        raise FormatLimitError(_NAME, f"an odd number of {leaf.dtype}", place, hint) from None


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
        page[tensor.name] = {
            "dtype": tensor.code,
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    head = json.dumps(page, separators=(",", ":"), ensure_ascii=False).encode()
    head += b" " * (-len(head) % 8)
    if len(head) > MAX_HEADER:
        hint = "Save parts of it to files of their own"
        raise FormatLimitError(_NAME, f"a header of {len(head)} bytes", "", hint)
    return len(head).to_bytes(8, "little") + head


# --- reading --------------------------------------------------------------------------------------


def fail(path: str, problem: str, name: str = ".") -> NoReturn:
    """Raise a MalformedDataError about a file."""
    raise MalformedDataError(problem, name[:200], source=path, writer=_WRITER)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name[:60]!r} occurs twice")
        found[name] = value
    return found


def load_page(path: str, text: bytes) -> dict[str, Any]:
    """Return the object that a text in JSON holds.

    Raises:
      MalformedDataError: if it holds none, or one in which a name occurs twice.
    """
    try:
        page = json.loads(text.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        fail(path, f"the header is not valid JSON ({error})")
    if not isinstance(page, dict):
        fail(path, "the header is no JSON object")
    return page


def outline(path: str) -> Header:
    """Read the header of a file, and check it against the length of the file.

    Raises:
      MalformedDataError: if it is damaged or of another format.
    """
    if remote.is_remote(path):
        with remote.open_file(path) as upload:
            return _header(path, upload, remote.size(path))
    with open_regular(path) as file:
        return _header(path, file, os.fstat(file.fileno()).st_size)


def _header(path: str, stream: Any, size: int) -> Header:
    length = int.from_bytes(stream.read(8), "little")
    if size < 8 or length > min(size - 8, MAX_HEADER):
        fail(path, f"a header of {length} bytes does not fit into {size} bytes")
    text = stream.read(length)
    page = load_page(path, text)
    strings = page.pop("__metadata__", None)
    strings = {} if strings is None else strings
    if not isinstance(strings, dict) or not all(isinstance(v, str) for v in strings.values()):
        fail(path, "the metadata are not strings by name")
    leaves = [_leaf(path, name, entry, 8 + length) for name, entry in page.items()]
    leaves.sort(key=lambda leaf: leaf.spans)
    at = 8 + length
    for leaf in leaves:
        start, count = leaf.spans[0]
        if start != at:
            fail(path, "the bytes of arrays overlap, or leave a gap", leaf.path[0])
        at += count
    if at != size:
        fail(path, f"the arrays end at byte {at}, and the file at {size}")
    return Header(leaves, strings, _values(path, strings.pop(VALUES, "{}")))


def _leaf(path: str, name: str, entry: Any, data: int) -> Leaf:
    kinds = (("dtype", str), ("shape", list), ("data_offsets", list))
    if not isinstance(entry, dict) or not all(isinstance(entry.get(k), t) for k, t in kinds):
        fail(path, f"the entry is not dtype, shape and data_offsets: {entry!r:.100}", name)
    code, shape = entry["dtype"], entry["shape"]
    if not types.is_known(code):
        fail(path, f"the dtype {code!r:.40} is none of the format that is known here", name)
    try:
        (start, end), needed = entry["data_offsets"], types.nbytes_of(code, shape)
    except ValueError as error:
        fail(path, f"the entry is not dtype, shape and data_offsets ({error!r:.100})", name)
    if type(start) is not int or type(end) is not int or start < 0 or end - start != needed:
        fail(path, f"an array of {needed} bytes is said to be at {start} to {end}"[:200], name)
    return types.leaf_of(name, code, shape, path, (data + start, needed))


def _values(path: str, text: str) -> dict[str, Any]:
    values = load_page(path, text.encode())
    for name, value in values.items():
        if not isinstance(value, _PLAIN) and value not in ({}, []):
            fail(path, f"{VALUES} holds more than plain values", name)
    return values


def read(path: str, *, partial: bool = False) -> tuple[Header, dict[str, np.ndarray[Any, Any]]]:
    """Read the arrays of a file by name, each into memory of its own, and what else it holds.

    If the file has a manifest, everything read is compared with the checksums there.

    Args:
      path: the file.
      partial: leave out the arrays whose dtypes cannot be read.

    Raises:
      DamagedCheckpointError: if it is not what was saved; a MalformedDataError.
      MalformedDataError: if it is damaged or of another format.
      UnsupportedCheckpointError: if there are arrays that cannot be read, and not `partial`.
    """
    manifest = integrity.read_manifest(path)
    if remote.is_remote(path):
        return integrity.read_uploaded(
            path, manifest, lambda stream, size: _content(path, stream, size, partial)
        )
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        known = manifest is not None and bool(manifest.records)
        chunk = manifest.records[0].chunk if manifest is not None and known else 0
        stream = parallel.ParallelStream(file.fileno(), status.st_size, chunk, path)
        try:
            try:
                return _content(path, stream, status.st_size, partial, stream.settle)
            finally:
                # Also when this failed: the checksums tell damage from a file of another kind.
                found = stream.record()
                if manifest is not None and known:
                    integrity.compare(path, manifest, found, status.st_ino)
        finally:
            stream.close()


def _content(
    path: str,
    stream: Any,
    size: int,
    partial: bool,
    settle: Callable[[], None] = lambda: None,
) -> tuple[Header, dict[str, np.ndarray[Any, Any]]]:
    header = _header(path, stream, size)
    unread = [leaf for leaf in header.leaves if leaf.unread]
    if unread and not partial:
        types.refuse(path, unread)
    found, packed = {}, []
    for leaf in header.leaves:  # they follow each other without gaps
        held = types.raw(leaf) if leaf.load else leaf
        array = np.empty(held.shape or (), held.dtype)
        memory = arrays.raw_bytes(array)
        if stream.readinto(memory) != len(memory):
            fail(path, "the file became shorter while it was read", leaf.path[0])
        found[leaf.path[0]] = array
        if leaf.load:
            packed.append(leaf)
    settle()
    for name, array in found.items():
        try:
            arrays.check_bits(array)
        except ValueError as error:
            fail(path, str(error), name)
    for leaf in packed:
        name = leaf.path[0]
        if leaf.unread:
            del found[name]
        else:
            found[name] = types.unpack(found[name], leaf)
    return header, found


def pieces(head: bytes, tensors: list[Tensor]) -> Iterator[Any]:
    """Yield the content of a file, one array after the other."""
    yield head
    for tensor in tensors:
        yield tensor.content()
