"""Saving in the background: the values of the call, in order, and failures are heard."""

import os
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from tests.listing import names
from tests.memory import aligned
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.checkpoint.saving import background, writer
from ramie.configurations import config
from ramie.serialization import to_bytes
from ramie.training import checkpoints


@pytest.fixture
def gate(monkeypatch):
    """Hold every save in the background until the gate is set."""
    opened = threading.Event()
    write = writer.write

    def held(plan, state):
        opened.wait()
        return write(plan, state)

    monkeypatch.setattr(writer, "write", held)
    yield opened
    opened.set()


def test_the_values_are_those_of_the_call(tmp_path, gate):
    manager = checkpoints.AsyncManager()
    host, device, key = np.arange(4), jnp.arange(4), jax.random.key(3)
    tree = {"z": host, "device": [device], "key": key, "n": 1}
    path = checkpoints.save_checkpoint(tmp_path, tree, 1, async_manager=manager)
    host[:] = 0
    tree["n"] = 2
    device.delete()
    assert not os.path.exists(path)
    gate.set()
    manager.wait_previous_save()
    restored = checkpoints.restore_checkpoint(path, None)
    assert list(restored) == ["z", "device", "key", "n"]
    assert_exact(restored["z"], np.arange(4))
    assert_exact(restored["device"]["0"], np.arange(4, dtype=np.int32))
    assert_exact(jax.random.key_data(restored["key"]), jax.random.key_data(key))
    assert restored["n"] == 1


def test_saves_follow_each_other(tmp_path):
    manager = checkpoints.AsyncManager()
    for step in range(5):
        checkpoints.save_checkpoint(tmp_path, {"step": step}, step, async_manager=manager)
    assert manager.save_future.result() == str(tmp_path / "checkpoint_4")
    assert names(tmp_path) == ["checkpoint_4"]
    manager.wait_previous_save()
    manager.wait_previous_save()
    with pytest.raises(errors.InvalidCheckpointError):
        checkpoints.save_checkpoint(tmp_path, {}, 4, async_manager=manager)


def test_a_failure_is_raised_once_by_the_next_call(tmp_path, monkeypatch):
    manager = checkpoints.AsyncManager()

    def full(plan, state):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write", full)
        checkpoints.save_checkpoint(tmp_path, {}, 1, async_manager=manager)
        with pytest.raises(OSError, match="No space left"):
            checkpoints.save_checkpoint(tmp_path, {}, 2, async_manager=manager)
    checkpoints.save_checkpoint(tmp_path, {}, 2, async_manager=manager)
    manager.wait_previous_save()
    assert names(tmp_path) == ["checkpoint_2"]


def test_what_cannot_be_read_fails_at_once(tmp_path):
    gone = jnp.ones(3)
    gone.delete()
    manager = checkpoints.AsyncManager()
    with pytest.raises(ValueError, match=r"at path \./a/0/b: the array was deleted or donated"):
        checkpoints.save_checkpoint(tmp_path, {"a": [{"b": gone}]}, 1, async_manager=manager)
    assert manager.save_future is None


@pytest.mark.parametrize("how", ["msgpack", "orbax", "checkpointer of the user"])
def test_a_new_working_directory_does_not_lead_a_save_elsewhere(tmp_path, monkeypatch, gate, how):
    """Of two directories called `run`, the one that was meant gets the save and the retention."""
    for place in ("here", "there"):
        (tmp_path / place / "run").mkdir(parents=True)
        (tmp_path / place / "run" / "checkpoint_1").write_bytes(to_bytes({"a": 1}))
    manager = checkpoints.AsyncManager()
    options, finish = {"async_manager": manager}, manager.wait_previous_save
    if how != "msgpack":
        ocp = pytest.importorskip("orbax.checkpoint")
    if how == "checkpointer of the user":
        user = ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler())
        options, finish = {"orbax_checkpointer": user}, lambda: user.wait_until_finished()
    monkeypatch.chdir(tmp_path / "here")
    config.update("flax_use_orbax_checkpointing", how == "orbax")
    try:
        path = checkpoints.save_checkpoint("run", {"a": np.ones(1_000_000)}, 2, **options)
    finally:
        config.update("flax_use_orbax_checkpointing", False)
    monkeypatch.chdir(tmp_path / "there")
    gate.set()
    finish()
    assert path == os.path.join("run", "checkpoint_2")
    assert names(tmp_path / "here" / "run") == ["checkpoint_2"]
    assert names(tmp_path / "there" / "run") == ["checkpoint_1"]
    assert checkpoint.verify(tmp_path / "here" / "run" / "checkpoint_2").state == "intact"


def run(code, folder):
    header = "import sys; from ramie.training import checkpoints as c; am = c.AsyncManager();"
    return subprocess.run(
        [sys.executable, "-c", header + code, str(folder)], capture_output=True, text=True
    )


def test_the_process_waits_for_its_last_save(tmp_path):
    code = "c.save_checkpoint(sys.argv[1], {'a': [1] * 50_000}, 1, async_manager=am)"
    assert run(code, tmp_path).stderr == ""
    assert len(checkpoints.restore_checkpoint(tmp_path, None)["a"]) == 50_000


def test_a_failure_nobody_asked_for_is_printed_at_the_end(tmp_path):
    code = "c.save_checkpoint(sys.argv[1], {'a': {1}}, 1, async_manager=am)"
    printed = run(code, tmp_path).stderr
    assert "A checkpoint was not saved in the background" in printed
    assert "can not serialize 'set' object at path ./a" in printed


def test_a_donated_array_is_saved_as_it_was(tmp_path, gate):
    manager = checkpoints.AsyncManager()
    double = jax.jit(lambda array: array * 2, donate_argnums=0)
    array = jnp.arange(40_000.0)
    checkpoints.save_checkpoint(tmp_path, {"a": array}, 1, async_manager=manager)
    for _ in range(3):
        array = double(array)
    gate.set()
    manager.wait_previous_save()
    restored = checkpoints.restore_checkpoint(tmp_path, None)
    assert_exact(restored["a"], np.arange(40_000, dtype=np.float32))
    assert_exact(array, 8 * np.arange(40_000, dtype=np.float32))


def test_everything_in_host_memory_is_copied():
    large, small, text = np.ones(200_000), np.ones(3), bytearray(b"raw")
    device = jnp.ones(200_000)
    held = background.snapshot({"l": large, "s": [small], "d": device, "t": text})
    assert not np.shares_memory(held["d"], np.asarray(device))
    large[:], small[:], text[:] = 0, 0, b"new"
    assert_exact(held["l"], np.ones(200_000))
    assert_exact(held["s"][0], np.ones(3))
    assert_exact(held["d"], np.ones(200_000, np.float32))
    assert held["t"] == b"raw"


def over_all_devices(spec):
    sharding = NamedSharding(jax.make_mesh((jax.device_count(),), ("x",)), spec)
    return lambda memory: jax.device_put(memory, sharding)


PLACES = {
    "numpy": np.asarray,
    "device_put": jax.device_put,
    "device_put, never to alias": lambda memory: jax.device_put(memory, may_alias=False),
    "jnp.asarray": jnp.asarray,
    "DLPack": jax.dlpack.from_dlpack,
    "sharded": over_all_devices(PartitionSpec("x")),
    "replicated": over_all_devices(PartitionSpec()),
    "keys": lambda memory: jax.random.wrap_key_data(jax.device_put(memory.view(np.uint32))),
}
KINDS = ("msgpack", "Orbax", "Orbax of the user")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rows", [32, 200_000])
def test_memory_that_is_written_to_after_the_call(tmp_path, gate, kind, place, rows):
    memory = aligned((rows, 2))
    target = {"a": {"b": [PLACES[place](memory)]}}
    path = str(tmp_path / "checkpoint_1")
    if kind == "Orbax of the user":
        orbax = pytest.importorskip("orbax.checkpoint")
        with orbax.AsyncCheckpointer(orbax.PyTreeCheckpointHandler()) as user:
            checkpoints.save_checkpoint(tmp_path, target, 1, orbax_checkpointer=user)
            memory[:] = 7
    else:
        manager = checkpoints.AsyncManager()
        config.update("flax_use_orbax_checkpointing", kind == "Orbax")
        try:
            checkpoints.save_checkpoint(tmp_path, target, 1, async_manager=manager)
        finally:
            config.update("flax_use_orbax_checkpointing", False)
        memory[:] = 7
        gate.set()
        manager.wait_previous_save()
    found = checkpoints.restore_checkpoint(path, None)["a"]["b"]["0"]
    if place == "keys":
        found = np.asarray(jax.random.key_data(found)).view(np.float32)
    assert_exact(np.asarray(found), np.zeros((rows, 2), np.float32))
