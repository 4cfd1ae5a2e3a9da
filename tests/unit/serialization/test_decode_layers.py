"""Layers that look alike are read as careful reading does, and many at once."""

import io
import random

import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import serialization
from ramie.errors import MalformedDataError
from ramie.serialization import decode_layers
from ramie.serialization.decode import decode
from ramie.serialization.decode_whole import Pages, decode_whole

DTYPES = ["float32", "bfloat16", "int8", "uint32", "complex64", "float64", "float8_e4m3fn"]


def careful(data):
    return decode(io.BytesIO(data), len(data))


def outcome(read, data):
    try:
        return read(data), None
    except MalformedDataError as error:
        return None, (error.problem, error.path, error.offset)


def check_equal(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            check_equal(one[key], other[key])
    elif isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            check_equal(a, b)
    elif isinstance(one, np.ndarray):
        assert_exact(one, other)
    else:
        assert one == other or one != one


def count_built(monkeypatch):
    """Return a list that will have the numbers of layers that are built at once."""
    built = []
    build = decode_layers.Layout.build
    monkeypatch.setattr(
        decode_layers.Layout,
        "build",
        lambda layout, rows, forms: built.append(len(rows)) or build(layout, rows, forms),
    )
    return built


def arrays_of(tree):
    if isinstance(tree, dict):
        return [array for value in tree.values() for array in arrays_of(value)]
    return [tree] if isinstance(tree, np.ndarray) else []


def random_layer(generator, depth=0):
    """Return how to make layers of one structure: a function of the number of the layer."""
    parts = {}
    for index in range(generator.randint(1, 4)):
        kind = generator.random()
        if kind < 0.25 and depth < 3:
            make = random_layer(generator, depth + 1)
        elif kind < 0.85:
            shape = tuple(generator.choice([1, 2, 3, 9]) for _ in range(generator.randint(0, 3)))
            dtype = jnp.dtype(generator.choice(DTYPES))
            make = lambda n, shape=shape, dtype=dtype: (
                np.random.default_rng(n).integers(0, 100, shape).astype(dtype)
            )
        else:
            value = generator.choice([None, 3, 2.5, "text", b"bytes", 1j, np.float32(2), {}, [1]])
            make = lambda n, value=value: value
        parts[f"part{index}"] = make
    return lambda n: {key: make(n) for key, make in parts.items()}


def test_random_layers_are_read_as_with_care():
    generator = random.Random(1)
    for _ in range(60):
        make = random_layer(generator)
        tree = {
            f"layer_{index}": make(index if generator.random() < 0.99 else 0)
            for index in range(130)
        }
        tree |= {"step": 7, "mu": dict(tree)}
        data = serialization.to_bytes(tree)
        found = serialization.msgpack_restore(data)
        check_equal(found, careful(data))
        for array in arrays_of(found):
            flags = array.flags
            assert flags.writeable and flags.aligned and flags.c_contiguous
            assert array.base is None or array.base.nbytes <= 1 << 16
            array[...] = 0  # each has its own place in memory
        assert not any(array.any() for array in arrays_of(found))


def levels_of(tree):
    if not isinstance(tree, dict):
        return []
    return [tree, *(level for value in tree.values() for level in levels_of(value))]


def test_the_forms_that_are_noted_are_those_of_the_arrays():
    generator = random.Random(3)
    noted = 0
    for _ in range(40):
        make = random_layer(generator)
        tree = {f"layer_{index}": make(index) for index in range(130)}
        forms = {}
        found = decode_whole(serialization.to_bytes(tree), forms=forms)
        levels = {id(level): level for level in levels_of(found)}
        for key, (level, shapes, dtypes) in forms.items():
            assert levels[key] is level
            assert [(array.shape, array.dtype) for array in level.values()] == list(
                zip(shapes, dtypes, strict=True)
            )
        noted += len(forms)
    assert noted > 1000


def test_mutated_layers_are_accepted_and_refused_as_with_care():
    generator = random.Random(2)
    layer = {"kernel": np.ones((2, 2), np.float32), "inner": {"bias": np.ones(2), "n": 3}}
    encoded = serialization.to_bytes({f"layer{index:02}": layer for index in range(40)})
    refused = 0
    for _ in range(400):
        data = bytearray(encoded)
        for _ in range(generator.randint(1, 3)):
            data[generator.randrange(len(data))] = generator.choice(encoded)
        if generator.random() < 0.1:
            del data[generator.randrange(len(data)) :]
        fast, problem = outcome(serialization.msgpack_restore, bytes(data))
        slow, expected = outcome(careful, bytes(data))
        assert problem == expected
        check_equal(fast, slow)
        refused += expected is not None
    assert 20 < refused < 380


def test_every_byte_of_one_layer_may_differ():
    tree = {f"k{index:02}": {"a": np.full(2, index, np.int16), "b": 1} for index in range(40)}
    encoded = serialization.to_bytes(tree)
    begin, end = encoded.index(b"k30") - 1, encoded.index(b"k31") + 4
    for at in range(begin, end):
        for byte in (0x00, 0x80, 0xA3, 0xC1, 0xFF):
            data = encoded[:at] + bytes([byte]) + encoded[at + 1 :]
            fast, problem = outcome(serialization.msgpack_restore, data)
            slow, expected = outcome(careful, data)
            assert problem == expected
            check_equal(fast, slow)


def test_many_layers_are_built_at_once(monkeypatch):
    built = count_built(monkeypatch)
    layer = {"kernel": np.ones((4, 4), np.float32), "norm": {"scale": np.ones(4, np.float32)}}
    data = serialization.to_bytes({f"layer{index:03}": layer for index in range(300)})
    check_equal(serialization.msgpack_restore(data), careful(data))
    assert built == [256, 43]


@pytest.mark.parametrize(
    "leaf", [np.ones(3, bool), np.ones(2000), np.ones((0, 2)), [np.ones(3)], {"a": [1]}]
)
def test_what_has_to_be_looked_at_one_by_one_is_not_built_at_once(leaf, monkeypatch):
    built = count_built(monkeypatch)
    layer = {"kernel": np.ones((4, 4), np.float32), "leaf": leaf}
    data = serialization.msgpack_serialize({f"layer{index:03}": layer for index in range(60)})
    found = serialization.msgpack_restore(data)
    check_equal(found, careful(data))
    assert built == []


def test_containers_of_layers_that_look_alike_are_apart():
    data = serialization.to_bytes(
        {f"{index:02}": {"a": np.ones(2), "empty": {}} for index in range(50)}
    )
    found = serialization.msgpack_restore(data)
    for layer in found.values():
        assert layer["empty"] == {}
        layer["empty"]["new"] = 1
        layer["more"] = 2


def in_pages(data):
    pages = Pages(len(data))
    pages[:] = data
    return decode_whole(pages)


def test_what_is_in_pages_is_read_and_refused_as_what_is_in_bytes():
    generator = random.Random(5)
    refused = 0
    for _ in range(60):
        make = random_layer(generator)
        tree = {f"layer_{index}": make(index) for index in range(40)}
        tree |= {f"run{index:03}": np.full(3, index) for index in range(150)}
        data = bytearray(serialization.to_bytes(tree | {"flag": np.ones(2, bool), "text": "äö"}))
        for _ in range(generator.randint(0, 1)):
            data[generator.randrange(len(data))] = generator.choice(data)
        if generator.random() < 0.1:
            del data[generator.randrange(1, len(data)) :]
        found, problem = outcome(in_pages, bytes(data))
        expected, its_problem = outcome(serialization.msgpack_restore, bytes(data))
        assert problem == its_problem
        check_equal(found, expected)
        for array in arrays_of(found):
            array[...] = 0  # in memory of its own, now that the pages are gone
        refused += problem is not None
    assert 3 < refused < 57
