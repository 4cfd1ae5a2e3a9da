"""Saving in the background: the values of the call, in order, and failures are heard."""

import os
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.listing import names
from tests.tolerance import assert_exact

from ramie import errors
from ramie.checkpoint.saving import background, writer
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
    with pytest.raises(ValueError, match="deleted or donated"):
        checkpoints.save_checkpoint(tmp_path, {"a": gone}, 1, async_manager=manager)
    assert manager.save_future is None


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


def test_arrays_in_host_memory_are_copied_only_if_they_can_change():
    large, small, text = np.ones(200_000), np.ones(3), bytearray(b"raw")
    device = jnp.ones(200_000)
    held = background.snapshot({"l": large, "s": [small], "d": device, "t": text})
    assert np.shares_memory(held["d"], np.asarray(device))
    large[:], small[:], text[:] = 0, 0, b"new"
    assert_exact(held["l"], np.ones(200_000))
    assert_exact(held["s"][0], np.ones(3))
    assert held["t"] == b"raw"
