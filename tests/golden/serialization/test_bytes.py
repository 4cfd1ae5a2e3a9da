"""The bytes of known trees, as literals: what is on people's disks must stay readable."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import serialization


class Pair(NamedTuple):
    left: object
    right: object


GOLDEN = {
    "plain values": (
        {"b": None, "a": [True, -1, 300, 1.5, "é", b"\x00"]},
        b"\x82\xa1b\xc0\xa1a\x86\xa10\xc3\xa11\xff\xa12\xcd\x01,\xa13\xcb?\xf8\x00\x00\x00\x00"
        b"\x00\x00\xa14\xa2\xc3\xa9\xa15\xc4\x01\x00",
    ),
    "float32 array": (
        np.ones(2, np.float32),
        b"\xc7\x15\x01\x93\x91\x02\xa7float32\xc4\x08\x00\x00\x80?\x00\x00\x80?",
    ),
    "matrix": (
        np.array([[1, 2, 3]], np.int16),
        b"\xc7\x12\x01\x93\x92\x01\x03\xa5int16\xc4\x06\x01\x00\x02\x00\x03\x00",
    ),
    "array without dimensions": (
        np.array(True),
        b"\xc7\n\x01\x93\x90\xa4bool\xc4\x01\x01",
    ),
    "empty array": (
        np.zeros((5, 0)),
        b"\xc7\x0e\x01\x93\x92\x05\x00\xa7float64\xc4\x00",
    ),
    "bfloat16": (
        np.asarray([1, -2], jnp.bfloat16),
        b"\xc7\x12\x01\x93\x91\x02\xa8bfloat16\xc4\x04\x80?\x00\xc0",
    ),
    "float8": (
        np.asarray([1, 2], jnp.float8_e4m3fn),
        b"\xc7\x15\x01\x93\x91\x02\xadfloat8_e4m3fn\xc4\x028@",
    ),
    "int4": (
        np.asarray([1, -1], jnp.int4),
        b"\xc7\x0c\x01\x93\x91\x02\xa4int4\xc4\x02\x01\x0f",
    ),
    "complex64 array": (
        np.asarray([1 + 2j], np.complex64),
        b"\xc7\x17\x01\x93\x91\x01\xa9complex64\xc4\x08\x00\x00\x80?\x00\x00\x00@",
    ),
    "numpy scalar": (
        np.float32(1),
        b"\xd8\x03\x93\x90\xa7float32\xc4\x04\x00\x00\x80?",
    ),
    "complex number": (
        1j,
        b"\xc7\x13\x02\x92\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xcb?\xf0\x00\x00\x00\x00\x00\x00",
    ),
    "typed prng key": (
        jax.random.wrap_key_data(jnp.uint32([1, 2])),
        b"\x82\xb2__ramie_prng_key__\xacthreefry2x32\xa5words\xc7\x14\x01\x93\x91\x02\xa6uint32"
        b"\xc4\x08\x01\x00\x00\x00\x02\x00\x00\x00",
    ),
    "named tuple": (
        Pair(1, Pair(2, ())),
        b"\x82\xa4left\x01\xa5right\x82\xa4left\x02\xa5right\x80",
    ),
}
CHUNKED = (
    b"\x81\xa1a\x83\xb9__msgpack_chunked_array__\xc3\xa5shape\x81\xa10\x03\xa6chunks\x82\xa10"
    b"\xc7\x0f\x01\x93\x91\x02\xa5int16\xc4\x04\x01\x00\x02\x00\xa11\xc7\r\x01\x93\x91\x01\xa5int16"
    b"\xc4\x02\x03\x00"
)


@pytest.mark.parametrize("tree, encoded", GOLDEN.values(), ids=GOLDEN)
def test_known_trees_have_known_bytes(tree, encoded):
    assert serialization.to_bytes(tree) == encoded


@pytest.mark.parametrize("tree, encoded", GOLDEN.values(), ids=GOLDEN)
def test_known_bytes_hold_known_trees(tree, encoded):
    restored = serialization.from_bytes(tree, encoded)
    if isinstance(tree, np.ndarray | np.generic):
        assert_exact(restored, tree)
    elif isinstance(tree, jax.Array):
        assert restored.dtype == tree.dtype
        assert_exact(jax.random.key_data(restored), jax.random.key_data(tree))
    else:
        assert restored == tree
        assert type(restored) is type(tree)


def test_chunks_have_known_bytes(monkeypatch):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 4)
    assert serialization.to_bytes({"a": np.array([1, 2, 3], np.int16)}) == CHUNKED


def test_known_chunks_hold_a_known_array():
    restored = serialization.msgpack_restore(CHUNKED)
    assert_exact(restored["a"], np.array([1, 2, 3], np.int16))
