"""What a file says, by other means than ours: the packages of the formats, and NumPy.

These readers trust what they read, and are for files that ours has accepted: whatever ours returns
of those has to be what these do.
"""

import json
import re
from typing import Any

import jax
import ml_dtypes  # noqa: F401  (teaches numpy the names of bfloat16, float8 and int4)
import msgpack
import numpy as np

_CODES = {"bytes": ("S", 8), "str": ("U", 32), "void": ("V", 8)}
_SAFETENSORS = {"F32": "f4", "F64": "f8", "F16": "f2", "BF16": "bfloat16", "BOOL": "?"}
_SAFETENSORS |= {
    f"{'UI'[signed]}{8 * n}": f"{'ui'[signed]}{n}" for n in (1, 2, 4, 8) for signed in (0, 1)
}


class NoOpinion(Exception):
    """The file holds something that this reader does not know."""


def read_msgpack(data: bytes) -> Any:
    """Return the tree in msgpack bytes."""
    return _joined(msgpack.unpackb(data, ext_hook=_extension, strict_map_key=False))


def _extension(code: int, payload: bytes) -> Any:
    parts = msgpack.unpackb(payload)
    if code == 2:
        return complex(*parts)
    array = _array(*parts)
    return array[()] if code == 3 else array


def _array(shape: list[int], name: str | bytes, data: bytes) -> np.ndarray[Any, Any]:
    name = name.decode() if isinstance(name, bytes) else name
    flexible = re.fullmatch(r"(bytes|str|void)(\d+)", name)
    if flexible:
        letter, unit = _CODES[flexible[1]]
        name = f"{letter}{int(flexible[2]) // unit}"
    return _of(np.dtype(name), shape, data)


def _of(dtype: np.dtype[Any], shape: list[int], data: bytes) -> np.ndarray[Any, Any]:
    found = np.empty(shape, dtype)
    found.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
    return found


def _joined(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_joined(entry) for entry in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {key: _joined(entry) for key, entry in tree.items()}
    if "__msgpack_chunked_array__" in tree:
        shape, chunks = (
            [tree[name][str(index)] for index in range(len(tree[name]))]
            for name in ("shape", "chunks")
        )
        return np.concatenate(chunks).reshape(shape)
    if "__ramie_prng_key__" in tree:
        return jax.random.wrap_key_data(tree["words"], impl=tree["__ramie_prng_key__"])
    return tree


def read_safetensors(data: bytes) -> dict[str, Any]:
    """Return the arrays and values in a safetensors file by name."""
    start = 8 + int.from_bytes(data[:8], "little")
    head = json.loads(data[8:start])
    found: dict[str, Any] = {}
    for name, entry in head.items():
        if name == "__metadata__":
            found |= json.loads((entry or {}).get("ramie.values", "{}"))
            continue
        if entry["dtype"] not in _SAFETENSORS:
            raise NoOpinion(entry["dtype"])
        begin, end = entry["data_offsets"]
        dtype = np.dtype(_SAFETENSORS[entry["dtype"]])
        found[name] = _of(dtype, entry["shape"], data[start + begin : start + end])
    return found


def same(one: Any, two: Any) -> bool:
    """Tell whether two trees are of the same types and bits."""
    if isinstance(one, jax.Array) and isinstance(two, jax.Array):
        return one.dtype == two.dtype and same(*map(_words, (one, two)))
    if type(one) is not type(two):
        return False
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, (np.ndarray, np.generic)):
        alike = (one.dtype, one.shape) == (two.dtype, two.shape)
        return alike and one.tobytes() == two.tobytes()
    return repr(one) == repr(two)


def _words(keys: jax.Array) -> np.ndarray[Any, Any]:
    return np.asarray(jax.random.key_data(keys))
