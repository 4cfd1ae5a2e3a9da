"""The short cuts for very many small arrays write and read what careful ways do."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.layout import Format, Layout
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding
from tests.tolerance import assert_exact

from ramie import serialization
from ramie.serialization import state_dict
from ramie.serialization.decode import decode

DTYPES = ["float32", "bfloat16", "bool", "int8", "uint32", "complex64", "float16", "float8_e4m3fn"]


def on_host(tree):
    """Return a tree with numpy arrays, in the order of its dicts."""
    if isinstance(tree, dict):
        return {key: on_host(value) for key, value in tree.items()}
    return np.asarray(tree) if isinstance(tree, jax.Array) else tree


def check_bytes(tree):
    """Compare what is written of jax arrays with what is written of the same numpy arrays."""
    assert serialization.to_bytes(tree) == serialization.to_bytes(on_host(tree))


@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3), (300,)])
def test_jax_arrays_are_written_as_those_of_numpy(shape):
    values = [jax.device_put(np.ones(shape, jnp.dtype(name))) for name in DTYPES]
    level = {f"{index}": values[0] for index in range(150)}
    check_bytes({"level": level, "again": level})
    check_bytes({f"k{index}": value for index, value in enumerate(values * 40)})
    check_bytes({"number": 1, **level, "large": jnp.zeros(20_000), "last": values[0]})
    check_bytes({"list": {str(index): values[index % 3] for index in range(200)}})


def test_bits_of_nan_are_kept():
    bits = np.array([0x7FC12345, 0xFF800001], np.uint32)
    tree = {f"k{index}": jax.device_put(bits.view(np.float32)) for index in range(20)}
    found = serialization.msgpack_restore(serialization.to_bytes(tree))
    for array in found.values():
        assert_exact(array.view(np.uint32), bits)


def test_arrays_on_several_devices_and_of_another_layout():
    plain = jnp.arange(8.0).reshape(2, 4)
    mesh = Mesh(np.array(jax.devices()), ("x",))
    sharded = jax.device_put(
        np.zeros(4 * len(jax.devices())), NamedSharding(mesh, PartitionSpec("x"))
    )
    everywhere = jax.device_put(plain, NamedSharding(mesh, PartitionSpec()))
    columns = Format(Layout((1, 0)), SingleDeviceSharding(jax.devices()[0]))
    turned = jax.jit(lambda x: x, out_shardings=columns)(plain)
    for unusual in (sharded, everywhere, turned):
        level = {f"k{index}": plain for index in range(200)}
        check_bytes({"level": {**level, "k150": unusual}, "next": {"a": unusual, **level}})


def test_a_deleted_array_among_many_is_named():
    tree = {f"k{index}": jax.device_put(np.ones(2, np.float32)) for index in range(200)}
    serialization.to_bytes(tree)
    tree["k170"].delete()
    with pytest.raises(ValueError, match=r"deleted or donated"):
        serialization.to_bytes({"inner": tree})


def test_keys_of_every_kind():
    arrays = [jnp.full(2, index) for index in range(50)]
    for keys in (
        range(50),
        [f"ключ{index}" for index in range(50)],
        [b"%d" % i for i in range(50)],
    ):
        tree = dict(zip(keys, arrays, strict=True))
        data = serialization.msgpack_serialize(tree, in_place=True)
        found = serialization.msgpack_restore(data)
        assert list(found) == list(tree)
        for key, array in tree.items():
            assert_exact(found[key], np.asarray(array))
    with pytest.raises(ValueError, match="has no msgpack form"):
        serialization.to_bytes({"fine": arrays[0], "\ud800": arrays[1]})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (8, 8), (30, 40)])
def test_runs_of_keys_of_one_length_are_read(shape, dtype):
    tree = {}
    for group in range(3):
        keys = [f"a{index}" for index in range(150)] + [f"ä{index}" for index in range(100, 140)]
        tree[f"g{group}"] = {
            key: np.full(shape, index % 2, jnp.dtype(dtype)) for index, key in enumerate(keys)
        }
    found = serialization.msgpack_restore(serialization.to_bytes(tree))
    for name, level in tree.items():
        assert list(found[name]) == list(level)
        for key, array in level.items():
            restored = found[name][key]
            assert_exact(restored, array)
            flags = restored.flags
            assert flags.writeable and flags.aligned and flags.c_contiguous
            assert restored.base is None or restored.base.nbytes <= 1 << 16
            restored[...] = 0  # each has its own place in memory


def test_what_breaks_a_run_is_found():
    tree = {"a": {f"k{index:03}": np.full(4, index, np.float32) for index in range(400)}}
    data = serialization.to_bytes(tree)
    width = data.index(b"k301") - data.index(b"k300")
    for where in (b"k250", b"k399", b"k131"):
        for offset in (-1, 0, 3, 5, 9, 12, width - 6):
            for byte in (0x00, 0xA3, 0xA5, 0xC1, 0xFF):
                broken = bytearray(data)
                broken[data.index(where) + offset] = byte
                outcomes = []
                for read in (
                    serialization.msgpack_restore,
                    lambda text: decode(io.BytesIO(text), len(text)),
                ):
                    try:
                        outcomes.append(repr(read(bytes(broken))))
                    except ValueError as error:
                        outcomes.append(str(error))
                assert outcomes[0] == outcomes[1]


def test_a_type_that_was_a_leaf_can_be_registered(monkeypatch):
    class Late:
        value = 1

    late = Late()
    many = dict.fromkeys(map(str, range(40)), late)
    assert serialization.to_state_dict({"a": late}) == {"a": late}
    assert serialization.to_state_dict(many) == many
    monkeypatch.setattr(state_dict, "HANDLERS", dict(state_dict.HANDLERS))
    serialization.register_serialization_state(
        Late, lambda late: {"value": late.value}, lambda late, state: state["value"]
    )
    assert serialization.to_state_dict({"a": late}) == {"a": {"value": 1}}
    assert serialization.from_state_dict({"a": late}, {"a": {"value": 2}}) == {"a": 2}
    assert serialization.to_state_dict(many) == {key: {"value": 1} for key in many}
    state = {key: {"value": 2} for key in many}
    assert serialization.from_state_dict(many, state) == dict.fromkeys(many, 2)


def test_many_leaves_are_restored_as_few():
    names = [f"k{index}" for index in range(40)]
    target = {name: np.zeros(2) for name in names}
    state = {name: np.full(2, index) for index, name in enumerate(reversed(names))}
    given = {**state, "more": 1}
    restored = serialization.from_state_dict(target, given)
    assert list(restored) == names
    assert all(restored[name] is state[name] for name in names)
    assert restored is not target and "more" in given
    taken = serialization.to_state_dict(target)
    assert taken == target and taken is not target and list(taken) == names
    del given["k7"]
    with pytest.raises(ValueError, match=r"contains keys \{'k7'\} which are not present"):
        serialization.from_state_dict({"inner": target}, {"inner": given})
    numbered = {index: np.zeros(2) for index in range(40)}
    state = serialization.to_state_dict(numbered)
    assert list(state) == [str(index) for index in range(40)]
    assert list(serialization.from_state_dict(numbered, state)) == list(range(40))


def test_containers_among_many_leaves_are_restored():
    target = {f"k{index}": 0 for index in range(40)} | {"list": [0, 0]}
    state = serialization.to_state_dict(target)
    assert state["list"] == {"0": 0, "1": 0}
    assert serialization.from_state_dict(target, state) == target
