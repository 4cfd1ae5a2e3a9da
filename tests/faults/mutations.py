"""Changes of files: of bytes, as disks and networks make them, and of what the bytes mean.

All depend on a `random.Random` alone, so that a failure is repeated by its seed. Changes of
structure take a file apart with packages that are not ours, change one thing, and write it again:
such files are well-formed where changed bytes mostly are not, and get past the first checks.
"""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgpack

Mutate = Callable[[bytes, random.Random], bytes]

PARTS: list[Any] = [None, True, False, -1, 0, 1, 2, 255, 2**31, 2**62, 2**64 - 1, -(2**63), 1.5]
PARTS += ["", "x", "0", "float32", [], [1], [[]], {}, {"0": 1}, {"a": {}}, float("nan"), "\0", "F4"]
DTYPES = [
    "float32",
    "float64",
    "int8",
    "int4",
    "bool",
    "bfloat16",
    "str96",
    "void40",
    "bytes8",
    "O",
]
DTYPES += ["", "f4", ">f4", "float8_e5m2", "M8[s]", "V0", "f4,f4", "(2,)f4", "F32", "uint2", "a4"]
SIZES = [0, 1, 2, 3, 255, 2**16, 2**31, 2**32, 2**61, 2**62, 2**63 - 1, -1, True, 1.0, None, "2"]
MARKS = ["__msgpack_chunked_array__", "__ramie_prng_key__", "shape", "chunks", "words", "0", "1"]


# --- bytes ----------------------------------------------------------------------------------------


def of_bytes(data: bytes, generator: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Return bytes with one to four changes: flips, lost ends, splices, insertions, swaps."""
    found = bytearray(data)
    for _ in range(generator.choice([1, 1, 2, 4])):
        start = generator.randrange(len(found) + 1)
        length = min(len(found) - start, generator.choice([1, 1, 2, 4, 8, 100]))
        change = generator.choice([_flip, _flip, _cut, _insert, _repeat, _fill, _swap, _splice])
        change(found, start, length, generator, others)
    return bytes(found)


def _flip(
    data: bytearray, start: int, length: int, generator: random.Random, others: Sequence[bytes]
) -> None:
    if length:
        data[start] ^= 1 << generator.randrange(8)


def _cut(
    data: bytearray, start: int, length: int, generator: random.Random, others: Sequence[bytes]
) -> None:
    del data[start : None if generator.random() < 0.5 else start + length]


def _insert(
    data: bytearray, start: int, length: int, generator: random.Random, others: Sequence[bytes]
) -> None:
    data[start:start] = generator.choice(
        [generator.randbytes(length), b"\0" * length, b"\xdf\xff\xff\xff\xff", b"[" * 9, b"9" * 20]
    )


def _repeat(
    data: bytearray, start: int, length: int, generator: random.Random, others: Sequence[bytes]
) -> None:
    data[start:start] = data[start : start + length]


def _fill(
    data: bytearray, start: int, length: int, generator: random.Random, others: Sequence[bytes]
) -> None:
    data[start : start + length] = generator.choice([b"\0", b"\xff", b"\x7f", b"0"]) * length


def _swap(
    data: bytearray, start: int, length: int, generator: random.Random, others: Sequence[bytes]
) -> None:
    other = generator.randrange(len(data) - length + 1)
    if abs(other - start) >= length:
        here, there = data[start : start + length], data[other : other + length]
        data[start : start + length], data[other : other + length] = there, here


def _splice(
    data: bytearray, start: int, length: int, generator: random.Random, others: Sequence[bytes]
) -> None:
    source = generator.choice(others) if others else bytes(data)
    begin = generator.randrange(len(source) + 1)
    data[start : start + length] = source[begin : begin + generator.choice([1, 4, 40])]


# --- JSON -----------------------------------------------------------------------------------------


def of_tree(tree: Any, generator: random.Random) -> Any:
    """Return a tree of dicts and lists in which one entry is changed, gone, or doubled."""
    holder = {"": tree}
    places = [(holder, ""), *list(_places(tree))]
    owner, key = generator.choice(places)
    value = owner[key]
    action = generator.randrange(6)
    if action == 0 and owner is not holder:
        del owner[key]
    elif action == 1 and isinstance(owner, dict) and owner is not holder:
        owner[generator.choice([*MARKS, "", "x", str(key) + "x", 0, None])] = owner.pop(key)
    elif action == 2:
        other, place = generator.choice(places)
        owner[key], other[place] = other[place], value
        if any(each in (owner, other) for each in (value, owner[key])):  # one inside of the other
            owner[key], other[place] = value, 0
    elif action == 3 and isinstance(value, int) and not isinstance(value, bool):
        owner[key] = generator.choice([value + 1, value - 1, -value, value * 2, value + 2**40])
    elif action == 4 and isinstance(owner, list):
        owner.insert(key, value)
    else:
        owner[key] = generator.choice(PARTS)
    return holder[""]


def _places(tree: Any) -> Any:
    todo = [tree]
    while todo:
        owner = todo.pop()
        for key in owner if isinstance(owner, dict) else range(len(owner)):
            yield owner, key
            if isinstance(owner[key], (dict, list)):
                todo.append(owner[key])


def of_json(data: bytes, generator: random.Random) -> bytes:
    """Return a page of JSON with one entry changed, sometimes named twice."""
    text = json.dumps(of_tree(json.loads(data), generator), default=str)
    if generator.random() < 0.1 and '"' in text:
        text = text.replace("{", '{"x": 1, "x": 2, ', 1)
    return text.encode()


def of_safetensors(data: bytes, generator: random.Random) -> bytes:
    """Return a safetensors file whose header says something else of the same bytes."""
    length = int.from_bytes(data[:8], "little")
    head, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    names = [name for name in head if name != "__metadata__"]
    entry = head[generator.choice(names)]
    action = generator.randrange(6)
    if action == 0:
        entry["dtype"] = generator.choice(
            ["F32", "F16", "BOOL", "U8", "I64", "F4", "F6_E2M3", "", 1]
        )
    elif action == 1:
        entry["shape"] = of_shape(entry["shape"], generator)
    elif action == 2:
        entry["data_offsets"] = of_shape(entry["data_offsets"], generator)
    elif action == 3:
        other = head[generator.choice(names)]
        field = generator.choice(["dtype", "shape", "data_offsets"])
        entry[field], other[field] = other[field], entry[field]
    else:
        head = of_tree(head, generator)
    if generator.random() < 0.1:
        body = of_bytes(body, generator)
    text = json.dumps(head, default=str).encode()
    size = len(text) if generator.random() < 0.95 else generator.choice([0, len(text) + 1, 2**63])
    return size.to_bytes(8, "little") + text + body


def of_shape(shape: Sequence[Any], generator: random.Random) -> list[Any]:
    """Return a shape, or other list of numbers, that is not this one."""
    found = list(shape)
    action = generator.randrange(4)
    if action == 0 or not found:
        found.insert(generator.randint(0, len(found)), generator.choice(SIZES))
    elif action == 1:
        del found[generator.randrange(len(found))]
    elif action == 2:
        generator.shuffle(found)
    else:
        found[generator.randrange(len(found))] = generator.choice(SIZES)
    return found


# --- msgpack --------------------------------------------------------------------------------------


def of_msgpack(data: bytes, generator: random.Random) -> bytes:
    """Return msgpack bytes that say something else about one array, or have another structure."""
    tree = msgpack.unpackb(data, strict_map_key=False)
    for _ in range(9):
        places = [(owner, key) for owner, key in _places({"": tree})]
        arrays = [place for place in places if isinstance(place[0][place[1]], msgpack.ExtType)]
        if arrays and generator.random() < 0.6:
            owner, key = generator.choice(arrays)
            owner[key] = _of_extension(owner[key], generator)
        else:
            tree = of_tree(tree, generator)
        try:
            return bytes(msgpack.packb(tree))
        except (OverflowError, TypeError, ValueError):
            tree = msgpack.unpackb(data, strict_map_key=False)
    return data[:-1]


def _of_extension(extension: msgpack.ExtType, generator: random.Random) -> msgpack.ExtType:
    """Return an array, a scalar or a complex number of which one field is another."""
    code, parts = extension.code, msgpack.unpackb(extension.data)
    action = generator.randrange(7)
    if action == 0:
        code = generator.choice([1, 2, 3, 3, 4, 0, 127])
    elif action == 1 and code != 2:
        parts[0] = of_shape(parts[0], generator)
    elif action == 2 and code != 2:
        parts[1] = generator.choice(DTYPES)
    elif action == 3 and code != 2:
        parts[2] = of_bytes(parts[2], generator)
    elif action == 4:
        parts = [*parts, 0] if generator.random() < 0.5 else parts[:-1]
    elif action == 5:
        generator.shuffle(parts)
    else:
        parts[generator.randrange(len(parts))] = generator.choice(PARTS)
    return msgpack.ExtType(code, msgpack.packb(parts))
