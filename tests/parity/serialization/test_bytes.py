"""State dicts and bytes against Flax's, identical; each side restores what the other wrote."""

# ruff: noqa: E402
import pytest

flax = pytest.importorskip("flax")

from typing import Any, NamedTuple

import flax.core as peer_core
import flax.serialization as peer
import flax.struct as peer_struct
import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec
from tests.tolerance import assert_exact

from ramie import serialization as ours
from ramie import struct
from ramie.trees.frozen import FrozenDict

NUMPY_NAMES = """
    bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 longdouble
    complex64 complex128 clongdouble datetime64[s] timedelta64[ms]
"""
EXTENDED_NAMES = ["bfloat16", "int4", "uint4", "int2", "uint2"]
EXTENDED_NAMES += [name for name in dir(ml_dtypes) if name.startswith("float8")]
DTYPES = NUMPY_NAMES.split()
DTYPES += [np.dtype(getattr(ml_dtypes, name)) for name in EXTENDED_NAMES]


class Pair(NamedTuple):
    left: Any
    right: Any


@struct.dataclass
class OurPoint:
    x: Any
    y: Any
    label: str = struct.field(pytree_node=False, default="")


@peer_struct.dataclass
class TheirPoint:
    x: Any
    y: Any
    label: str = peer_struct.field(pytree_node=False, default="")


def rich_tree(point, frozen, large=40_000):
    """A tree of everything at once, with the dataclass and FrozenDict of either side."""
    generator = np.random.default_rng(0)
    params = {
        "params": {
            "Dense_1": {"kernel": jnp.asarray(generator.normal(size=(3, 4)), jnp.float32)},
            "Conv_0": {"bias": jnp.ones((), jnp.bfloat16), "kernel": jnp.zeros((0, 3))},
        }
    }
    return {
        "z": point([1, (2.5, None)], {"b": True, 7: b"bytes", "a": "text é"}, "static"),
        "variables": frozen(params),
        "opt": optax.chain(optax.clip(1.0), optax.adam(1e-3)).init(params),
        "pair": Pair(np.float32(1.5), Pair(1 + 2j, -1)),
        "partial": jax.tree_util.Partial(max, 1, key=[2]),
        "old_key": jax.random.PRNGKey(0),
        "arrays": [generator.integers(0, 2, (2, 8), np.uint8).view(dtype) for dtype in DTYPES[1:4]],
        "transposed": np.arange(6).reshape(2, 3).T,
        "large": np.arange(large, dtype=np.int16),
        "empty": [{}, [], ()],
        "numbers": [0, 127, 128, 255, 256, 2**16, 2**32, 2**64 - 1, -1, -32, -33, -129, -(2**63)],
    }


def assert_same_leaves(left, right):
    assert jax.tree_util.tree_structure(left) == jax.tree_util.tree_structure(right)
    jax.tree_util.tree_map(assert_exact, left, right)


def test_a_rich_tree_has_the_same_bytes():
    mine, theirs = rich_tree(OurPoint, FrozenDict), rich_tree(TheirPoint, peer_core.FrozenDict)
    encoded = ours.to_bytes(mine)
    assert encoded == peer.to_bytes(theirs)
    restored_by_peer = peer.from_bytes(theirs, encoded)
    restored_by_us = ours.from_bytes(mine, encoded)
    assert_same_leaves(ours.to_state_dict(restored_by_us), peer.to_state_dict(restored_by_peer))
    assert_same_leaves(ours.msgpack_restore(encoded), peer.msgpack_restore(encoded))


@pytest.mark.parametrize("size", [0, 7, 16, 100, 2**10])
def test_chunks_have_the_same_bytes(monkeypatch, size):
    mine = rich_tree(OurPoint, FrozenDict, large=1000)
    theirs = rich_tree(TheirPoint, peer_core.FrozenDict, large=1000)
    monkeypatch.setattr(ours, "MAX_CHUNK_SIZE", size)
    monkeypatch.setattr(peer, "MAX_CHUNK_SIZE", size)
    encoded = ours.to_bytes(mine)
    assert encoded == peer.to_bytes(theirs)
    assert_same_leaves(ours.msgpack_restore(encoded), peer.msgpack_restore(encoded))
    assert ours.msgpack_serialize(np.arange(9)) == peer.msgpack_serialize(np.arange(9))
    nested = {"b": [{"x": np.arange(9)}], "a": {"y": jnp.arange(9)}}
    for in_place in (False, True):
        encoded = ours.msgpack_serialize(nested, in_place)
        copy = {"b": [dict(nested["b"][0])], "a": dict(nested["a"])}
        assert encoded == peer.msgpack_serialize(copy, in_place)


def test_the_default_chunk_size_is_the_same():
    assert ours.MAX_CHUNK_SIZE == peer.MAX_CHUNK_SIZE


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_has_the_same_bytes(dtype):
    dtype = np.dtype(dtype)
    for shape in ((), (3,), (2, 2), (0, 2)):
        bits = np.random.default_rng(1).integers(0, 2, np.prod(shape, dtype=int) * dtype.itemsize)
        array = bits.astype(np.uint8).view(dtype).reshape(shape)
        encoded = ours.msgpack_serialize(array)
        assert encoded == peer.msgpack_serialize(array)
        assert_exact(peer.msgpack_restore(encoded), array)
        assert_exact(ours.msgpack_restore(encoded), array)
        # Scalars of the long double types carry bytes of padding with arbitrary content.
        if shape == (3,) and dtype.char not in "gG":
            assert ours.msgpack_serialize(array[0]) == peer.msgpack_serialize(array[0])
            assert type(ours.msgpack_restore(ours.msgpack_serialize(array[0]))) is type(array[0])


@pytest.mark.parametrize("name", ["int4", "uint4", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_jax_arrays_have_the_same_bytes(name):
    array = jnp.asarray(np.arange(8) % 4).astype(name)
    assert ours.to_bytes({"a": array}) == peer.to_bytes({"a": array})


def test_sharded_arrays_have_the_same_bytes():
    mesh = jax.make_mesh((2, 2), ("x", "y"))
    array = jax.device_put(jnp.arange(16.0).reshape(4, 4), NamedSharding(mesh, PartitionSpec("y")))
    assert ours.to_bytes({"a": array}) == peer.to_bytes({"a": array})


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(),
    st.binary(),
    st.complex_numbers(),
    hnp.arrays(
        hnp.integer_dtypes(endianness="<") | hnp.floating_dtypes(endianness="<"),
        hnp.array_shapes(min_dims=0, min_side=0, max_side=3),
    ),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=10,
)


@given(TREES)
def test_any_tree_has_the_same_bytes(tree):
    encoded = ours.to_bytes(tree)
    assert encoded == peer.to_bytes(tree)
    assert ours.to_bytes(ours.msgpack_restore(encoded)) == encoded
    assert peer.to_bytes(peer.from_bytes(tree, encoded)) == encoded
    assert ours.to_bytes(ours.from_bytes(tree, encoded)) == encoded


MISMATCHES = [
    ([[[1, 2], [3]]], {"0": {"0": {"0": 1}, "1": {"0": 1}}}),
    ({"a": {"b": 1}}, {"a": {"c": 1}}),
    ((1, [2, 3]), {"0": 1, "1": {"0": 1}}),
    ([Pair(1, 2)], {"0": {"left": 1}}),
]


@pytest.mark.parametrize("target, state", MISMATCHES)
def test_mismatches_have_the_same_message(target, state):
    with pytest.raises(ValueError) as mine:
        ours.from_state_dict(target, state)
    with pytest.raises(ValueError) as theirs:
        peer.from_state_dict(target, state)
    assert str(mine.value) == str(theirs.value)
