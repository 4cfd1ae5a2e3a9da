"""Trees to msgpack bytes and back: every dtype, chunks, keys, and what cannot be written."""

import collections
import enum

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import ml_dtypes
import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec
from tests.tolerance import assert_exact

from ramie import serialization

ML_DTYPES = [
    name
    for name in dir(ml_dtypes)
    if name == "bfloat16" or name.startswith(("float4", "float6", "float8", "int2", "int4", "uint"))
]
NUMPY_NAMES = """
    bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 longdouble
    complex64 complex128 clongdouble datetime64[ns] timedelta64[s] S5 U3 V4
"""
NUMPY_DTYPES = NUMPY_NAMES.split()


def round_trip(tree):
    return serialization.msgpack_restore(serialization.msgpack_serialize(tree))


def same(left, right):
    """Compare trees exactly: types of containers and leaves, dtypes, bits."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            same(left[key], right[key])
    elif isinstance(left, list):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            same(one, other)
    elif isinstance(left, np.ndarray | np.generic):
        assert_exact(left, right.astype(right.dtype.newbyteorder("=")))
    else:
        assert repr(left) == repr(right)


def some_array(dtype, shape):
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2, np.prod(shape, dtype=int) * dtype.itemsize, np.uint8)
    return bits.view(dtype).reshape(shape)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 1), (0, 4)])
@pytest.mark.parametrize("name", NUMPY_DTYPES + ML_DTYPES)
def test_arrays_of_every_dtype_come_back(name, shape):
    dtype = np.dtype(getattr(ml_dtypes, name)) if name in ML_DTYPES else np.dtype(name)
    array = some_array(dtype, shape)
    restored = round_trip(array)
    assert isinstance(restored, np.ndarray)
    assert_exact(restored, array)
    assert restored.flags.owndata or restored.base is not None
    assert restored.flags.writeable


@pytest.mark.parametrize("name", NUMPY_DTYPES + ML_DTYPES)
def test_numpy_scalars_of_every_dtype_come_back(name):
    dtype = np.dtype(getattr(ml_dtypes, name)) if name in ML_DTYPES else np.dtype(name)
    # Long doubles have bytes of padding with arbitrary content, so their values are compared.
    padded = dtype.char in "gG"
    scalar = np.full(1, 1 / 3, dtype)[0] if padded else some_array(dtype, (1,))[0]
    restored = round_trip(scalar)
    assert type(restored) is type(scalar)
    assert restored == scalar if padded else restored.tobytes() == scalar.tobytes()


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(),
    st.binary(),
    st.complex_numbers(allow_nan=False),
    hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0, max_side=3)),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@given(TREES)
def test_any_tree_comes_back(tree):
    encoded = serialization.msgpack_serialize(tree, in_place=True)
    restored = serialization.msgpack_restore(encoded)
    same(restored, tree)
    assert serialization.msgpack_serialize(restored, in_place=True) == encoded
    same(serialization.msgpack_restore(bytearray(encoded)), tree)


@given(TREES, st.integers(0, 40))
def test_chunks_are_joined_again(tree, size):
    whole = serialization.to_bytes(tree)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serialization, "MAX_CHUNK_SIZE", size)
        chunked = serialization.to_bytes(tree)
    same(serialization.msgpack_restore(chunked), serialization.msgpack_restore(whole))


def test_chunks_have_the_documented_layout(monkeypatch):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 3 * 8)
    array = np.arange(8.0).reshape(2, 4)
    raw = msgpack.unpackb(
        serialization.to_bytes({"a": array, "b": array[0, :3]}),
        ext_hook=lambda code, data: (code, msgpack.unpackb(data)),
    )
    chunks = {"0": array.flat[:3], "1": array.flat[3:6], "2": array.flat[6:]}
    assert raw == {
        "a": {
            "__msgpack_chunked_array__": True,
            "shape": {"0": 2, "1": 4},
            "chunks": {
                name: (1, [[chunk.size], "float64", chunk.tobytes()])
                for name, chunk in chunks.items()
            },
        },
        "b": (1, [[3], "float64", array[0, :3].tobytes()]),
    }
    assert list(raw["a"]["chunks"]) == ["0", "1", "2"]


def test_many_chunks_stay_in_order(monkeypatch):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 8)
    array = np.arange(25)
    assert_exact(round_trip({"a": array})["a"], array)


def test_arrays_in_lists_are_not_chunked(monkeypatch):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 8)
    raw = msgpack.unpackb(serialization.msgpack_serialize([np.arange(4)]))
    assert raw[0].code == 1


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3).T,
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::-2],
        np.arange(4, dtype=">i4"),
        np.arange(4, dtype=">f8").reshape(2, 2).T,
        np.broadcast_to(np.float32(1), (2, 3)),
    ],
)
def test_strides_and_byte_order_do_not_matter(array):
    restored = round_trip({"a": array})["a"]
    assert_exact(restored, np.ascontiguousarray(array).astype(array.dtype.newbyteorder("=")))


def test_large_arrays_are_handed_on_without_a_copy():
    array = np.arange(2**16)
    pieces = list(serialization.state_pieces({"a": array, "b": 1}))
    views = [np.asarray(piece) for piece in pieces if len(piece) == array.nbytes]
    assert any(np.shares_memory(view, array) for view in views)
    assert b"".join(pieces) == serialization.to_bytes({"a": array, "b": 1})


@pytest.mark.parametrize("count", [1, 3, 200, 2**16])
@pytest.mark.parametrize("alike", [1, 100])
def test_what_is_restored_outlives_the_bytes(count, alike):
    tree = {str(number): np.arange(count) + number for number in range(alike)}
    data = bytearray(serialization.to_bytes(tree | {"raw": b"raw", "scalar": np.float32(2)}))
    restored = serialization.msgpack_restore(memoryview(data))
    data[:] = bytes(len(data))
    for name, array in tree.items():
        assert_exact(restored[name], array)
    assert (restored["raw"], restored["scalar"]) == (b"raw", 2)


def test_serializing_changes_nothing(monkeypatch):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 8)
    array, device_array = np.arange(4), jnp.arange(4)
    tree = {"b": array, "a": [device_array]}
    for in_place in (False, True):
        serialization.msgpack_serialize(tree, in_place=in_place)
        assert list(tree) == ["b", "a"]
        assert tree["b"] is array
        assert tree["a"][0] is device_array


def test_keys_are_sorted_unless_in_place():
    tree = {"b": 1, "a": {"d": 1, "c": 2}}
    assert list(round_trip(tree)) == ["a", "b"]
    assert list(round_trip([tree])[0]["a"]) == ["c", "d"]
    in_place = serialization.msgpack_serialize(tree, in_place=True)
    assert list(serialization.msgpack_restore(in_place)) == ["b", "a"]
    assert list(serialization.msgpack_restore(serialization.to_bytes(tree))) == ["b", "a"]
    assert round_trip({1: 2, "a": 3}) == {1: 2, "a": 3}


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg", "unsafe_rbg"])
@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_typed_prng_keys_come_back(implementation, shape):
    keys = jax.random.split(jax.random.key(7, impl=implementation), shape)
    restored = round_trip({"keys": keys})["keys"]
    assert restored.dtype == keys.dtype
    assert restored.shape == shape
    assert_exact(jax.random.key_data(restored), jax.random.key_data(keys))


def test_sharded_arrays_are_gathered():
    mesh = jax.make_mesh((4,), ("x",))
    host = np.arange(16.0, dtype=np.float32).reshape(8, 2)
    sharded = jax.device_put(host, NamedSharding(mesh, PartitionSpec("x")))
    replicated = jax.device_put(host, NamedSharding(mesh, PartitionSpec()))
    expected = serialization.to_bytes({"a": host})
    assert serialization.to_bytes({"a": sharded}) == expected
    assert serialization.to_bytes({"a": replicated}) == expected


class Color(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    "leaf, name",
    [
        ((1, 2), "tuple"),
        ({1}, "set"),
        (object(), "object"),
        (collections.OrderedDict(a=1), "OrderedDict"),
        (Color.RED, "Color"),
        (jax.ShapeDtypeStruct((2,), jnp.float32), "ShapeDtypeStruct"),
        (len, "builtin_function_or_method"),
    ],
)
def test_unknown_leaves_are_named_with_their_path(leaf, name):
    with pytest.raises(TypeError, match=rf"can not serialize '{name}' object at path \./a/0\."):
        serialization.msgpack_serialize({"a": [leaf]})


def deleted():
    array = jnp.ones(3)
    array.delete()
    return array


@pytest.mark.parametrize(
    "leaf, error, message",
    [
        (np.array([object()]), ValueError, "Object and structured dtypes not supported"),
        (np.zeros(2, [("a", "f4")]), ValueError, "Object and structured dtypes not supported"),
        (np.ma.ones(2), ValueError, "mask"),
        (np.zeros(2, "V0"), ValueError, "hold no bytes"),
        (2**64, OverflowError, "64 bits"),
        ("\ud800", ValueError, "no msgpack form"),
        (memoryview(b"abcd")[::2], ValueError, "no msgpack form"),
        ({(1,): 2}, TypeError, "as a dict key"),
        (deleted(), ValueError, "deleted or donated"),
    ],
)
def test_values_that_cannot_be_written_are_explained(leaf, error, message):
    with pytest.raises(error, match=message) as caught:
        serialization.msgpack_serialize({"a": [leaf]})
    assert "at path ./a/0" in str(caught.value)


def test_traced_arrays_are_refused():
    with pytest.raises(ValueError, match=r"\./a: a traced array.*outside jit"):
        jax.jit(lambda x: serialization.to_bytes({"a": x}))(1.0)


def test_endless_trees_are_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="contains itself"):
        serialization.msgpack_serialize(endless, in_place=True)


def test_deep_trees_come_back():
    tree = 1
    for _ in range(1000):
        tree = [tree]
    restored = serialization.msgpack_restore(serialization.msgpack_serialize(tree))
    depth = 0
    while isinstance(restored, list):
        restored, depth = restored[0], depth + 1
    assert (restored, depth) == (1, 1000)


def test_bytes_restore_into_a_target():
    tree = {"a": (np.arange(3), [1.5]), "k": jax.random.key(1)}
    encoded = serialization.to_bytes(tree)
    restored = serialization.from_bytes({"a": (0, [0]), "k": 0}, encoded)
    assert type(restored["a"]) is tuple
    assert_exact(restored["a"][0], np.arange(3))
    assert restored["a"][1] == [1.5]
    assert restored["k"].dtype == tree["k"].dtype
    assert list(serialization.from_bytes(None, encoded)["a"]) == ["0", "1"]
    with pytest.raises(ValueError, match=r"got 3 and 2 at path \./a"):
        serialization.from_bytes({"a": (0, 0, 0), "k": 0}, encoded)


@pytest.mark.parametrize("wrong", ["text", 3, None, [1]])
def test_only_bytes_are_read(wrong):
    with pytest.raises(TypeError, match=f"not a value of type {type(wrong).__name__}"):
        serialization.msgpack_restore(wrong)
