"""Saving and restoring by step, and everything that goes wrong on the way."""

import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.listing import names
from tests.tolerance import assert_exact

from ramie import checkpoint, errors, serialization, struct
from ramie.checkpoint.formats import msgpack
from ramie.checkpoint.storage import integrity
from ramie.training import checkpoints
from ramie.trees.frozen import FrozenDict


@struct.dataclass
class State:
    step: int
    params: object
    opt_state: object


def some_state(seed=0):
    params = FrozenDict(
        {"dense": {"kernel": jax.random.normal(jax.random.key(seed), (3, 4)), "bias": jnp.ones(4)}}
    )
    return State(seed, params, optax.adam(1e-3).init(params))


def test_a_state_comes_back_with_the_types_of_the_target(tmp_path):
    saved = some_state(1)
    path = checkpoint.save(tmp_path / "new" / "folder", saved, 5)
    assert path == str(tmp_path / "new" / "folder" / "checkpoint_5")
    restored = checkpoint.restore(tmp_path / "new" / "folder", some_state(2))
    assert jax.tree_util.tree_structure(restored) == jax.tree_util.tree_structure(saved)
    jax.tree_util.tree_map(assert_exact, restored, saved)
    plain = checkpoint.restore(path, None)
    assert list(plain) == ["step", "params", "opt_state"]
    assert list(plain["opt_state"]) == ["0", "1"]


def test_the_file_holds_the_msgpack_bytes(tmp_path):
    state = some_state()
    path = checkpoint.save(tmp_path, state, 1)
    with open(path, "rb") as file:
        assert file.read() == serialization.to_bytes(state)
    assert names(tmp_path) == ["checkpoint_1"]


def test_the_latest_is_by_number_and_a_step_by_value(tmp_path):
    for step in (9, 10, 100.5, 1e16):
        checkpoint.save(tmp_path, {"step": step}, step, keep=9)
    assert checkpoint.restore(tmp_path, None) == {"step": 1e16}
    assert checkpoint.restore(tmp_path, None, step=10) == {"step": 10}
    assert checkpoint.restore(tmp_path, None, step=10.0) == {"step": 10}
    assert checkpoint.restore(tmp_path, None, step=np.int64(9)) == {"step": 9}
    assert checkpoint.available_steps(tmp_path) == [9, 10, 100.5, 1e16]
    assert checkpoint.latest(tmp_path) == str(tmp_path / "checkpoint_1e+16")


def test_without_a_checkpoint_the_very_target_comes_back(tmp_path):
    target = object()
    assert checkpoint.restore(tmp_path, target) is target
    assert checkpoint.restore(tmp_path / "nowhere", target) is target
    assert checkpoint.restore(tmp_path / "checkpoint_3", target) is target
    assert checkpoint.latest(tmp_path / "nowhere") is None
    assert checkpoint.available_steps(tmp_path) == []


def test_a_checkpoint_that_must_exist(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere", tmp_path / "checkpoint_3"):
        with pytest.raises(errors.CheckpointNotFoundError, match=r"none at all.*prefix"):
            checkpoint.restore(place, {}, must_exist=True)
    checkpoint.save(tmp_path, {"a": 1}, 1, prefix="best_")
    with pytest.raises(errors.CheckpointNotFoundError):
        checkpoint.restore(tmp_path, None, must_exist=True)
    assert checkpoint.restore(tmp_path, None, prefix="best_", must_exist=True) == {"a": 1}


def test_steps_without_a_prefix_are_pointed_out(tmp_path):
    target = {"a": 0}
    for step in (5, 10):
        checkpoint.save(tmp_path, {"a": step}, step, prefix="", keep=2)
    for restore in (checkpoint.restore, checkpoints.restore_checkpoint):
        with pytest.warns(UserWarning, match=r'5, 10: pass prefix=""') as caught:
            assert restore(tmp_path, target) is target
        assert caught[0].filename == __file__
        with pytest.raises(errors.CheckpointNotFoundError, match=r'5, 10: pass prefix=""'):
            restore(tmp_path, target, must_exist=True)
        with pytest.raises(errors.CheckpointNotFoundError, match=r'5, 10: pass prefix=""'):
            restore(tmp_path, target, step=10)
        assert restore(tmp_path, target, prefix="") == {"a": 10}
        assert restore(tmp_path, target, 5, prefix="") == {"a": 5}


@pytest.mark.parametrize("step", [np.float32(0.1), np.float32(-0.19632871), jnp.bfloat16(0.1)])
def test_a_float_step_is_found_under_its_shorter_name_of_old_and_not_saved_twice(tmp_path, step):
    old = tmp_path / f"checkpoint_{step}"
    os.rename(checkpoint.save(tmp_path, {"a": 1}, 1), old)
    assert checkpoint.restore(tmp_path, None, step=step) == {"a": 1}
    with pytest.raises(errors.InvalidCheckpointError):
        checkpoint.save(tmp_path, {"a": 2}, step)
    path = checkpoint.save(tmp_path, {"a": 2}, step, overwrite=True, keep=9)
    assert names(tmp_path) == [os.path.basename(path)] == [f"checkpoint_{float(step)}"]
    assert checkpoint.restore(tmp_path, None, step=step) == {"a": 2}
    assert checkpoint.restore(tmp_path, None, step=float(step)) == {"a": 2}


def test_a_missing_step_says_which_there_are(tmp_path):
    checkpoint.save(tmp_path, {}, 1)
    checkpoint.save(tmp_path, {}, 2, keep=2)
    with pytest.raises(errors.CheckpointNotFoundError, match="checkpoint_1, checkpoint_2"):
        checkpoint.restore(tmp_path, {}, step=3)
    with pytest.raises(ValueError, match=r"none at all\. Check the path and the prefix"):
        checkpoint.restore(tmp_path / "nowhere", {}, step=3)


@pytest.mark.parametrize("step", [3, 2, 3.0, -1])
def test_a_step_that_is_not_new_is_refused_and_changes_nothing(tmp_path, step):
    checkpoint.save(tmp_path, {"a": 1}, 3)
    with pytest.raises(errors.InvalidCheckpointError, match=str(step)):
        checkpoint.save(tmp_path, {"a": 2}, step)
    assert names(tmp_path) == ["checkpoint_3"]
    assert checkpoint.restore(tmp_path, None) == {"a": 1}


def test_overwriting_replaces_this_and_later_steps(tmp_path):
    for step in range(5):
        checkpoint.save(tmp_path, {"a": step}, step, keep=9)
    checkpoint.save(tmp_path, {"a": "new"}, 2, keep=9, overwrite=True)
    assert names(tmp_path) == ["checkpoint_0", "checkpoint_1", "checkpoint_2"]
    assert checkpoint.restore(tmp_path, None) == {"a": "new"}
    checkpoint.save(tmp_path, {"a": "same"}, 2.0, keep=1, overwrite=True)
    assert names(tmp_path) == ["checkpoint_2.0"]


def test_retention_touches_only_its_own_prefix(tmp_path):
    for prefix in ("ckpt_", "ckpt_best_", "run[1]_"):
        for step in range(3):
            checkpoint.save(tmp_path, {}, step, prefix=prefix, keep=2)
    (tmp_path / "ckpt_0.bak").touch()
    checkpoint.save(tmp_path, {}, 3, prefix="ckpt_", keep=1)
    left = ["ckpt_0.bak", "ckpt_3", "ckpt_best_1", "ckpt_best_2", "run[1]_1", "run[1]_2"]
    assert names(tmp_path) == left


def test_leftovers_of_any_writer_count_neither_as_latest_nor_for_retention(tmp_path):
    checkpoint.save(tmp_path, {"a": 1}, 1)
    stray = ["checkpoint_9.bak", "checkpoint_tmp", "checkpoint_7tmp", ".ramie-tmp-checkpoint_8"]
    for name in stray:
        (tmp_path / name).touch()
    for name in ("checkpoint_6.orbax-checkpoint-tmp-0", "checkpoint_5", ".ramie-tmp-folder"):
        (tmp_path / name).mkdir()  # one of Orbax, which is not finished
        (tmp_path / name / "part").touch()
    assert checkpoint.available_steps(tmp_path) == [1]
    assert checkpoint.restore(tmp_path, None) == {"a": 1}
    checkpoint.save(tmp_path, {"a": 2}, 2)
    assert checkpoint.available_steps(tmp_path) == [2]
    assert checkpoint.restore(tmp_path, None) == {"a": 2}
    left = ["checkpoint_2", "checkpoint_5", "checkpoint_6.orbax-checkpoint-tmp-0", *stray[:3]]
    assert names(tmp_path) == sorted(left)


def test_retention_acts_after_the_new_checkpoint_is_durable(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, {}, 1)
    events = []
    replace, unlink = os.replace, os.unlink
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("rename"), replace(a, b)))
    monkeypatch.setattr(os, "unlink", lambda path: (events.append("remove"), unlink(path)))
    monkeypatch.setattr(
        "ramie.checkpoint.storage.entries.sync_directory", lambda path: events.append("sync")
    )
    checkpoint.save(tmp_path, {}, 2)
    # The manifest goes before the checkpoint, in both.
    assert events[:3] == ["rename", "rename", "sync"]
    assert set(events[3:]) == {"remove"}


def test_old_directories_are_removed_too(tmp_path):
    (tmp_path / "checkpoint_1").mkdir()
    (tmp_path / "checkpoint_1" / "_METADATA").touch()
    checkpoint.save(tmp_path, {}, 2)
    assert names(tmp_path) == ["checkpoint_2"]


def test_prefixes_below_the_directory_work_and_others_do_not(tmp_path):
    path = checkpoint.save(tmp_path, {"a": 1}, 1, prefix="run/ckpt_")
    assert path == str(tmp_path / "run" / "ckpt_1")
    assert checkpoint.restore(tmp_path, None, prefix="run/ckpt_") == {"a": 1}
    for call in (
        lambda: checkpoint.save(tmp_path, {}, 2, prefix="../ckpt_"),
        lambda: checkpoint.restore(tmp_path, {}, prefix="../ckpt_"),
        lambda: checkpoint.latest(tmp_path, "/tmp/ckpt_"),
    ):
        with pytest.raises(errors.CheckpointOptionError, match="leads out"):
            call()


def test_a_tree_that_cannot_be_saved_leaves_nothing(tmp_path):
    checkpoint.save(tmp_path, {"a": 1}, 1)
    with pytest.raises(TypeError, match=r"'set' object at path \./z"):
        checkpoint.save(tmp_path, {"big": np.zeros(10**6), "z": {1}}, 2)
    assert names(tmp_path) == ["checkpoint_1"]


def test_damaged_files_are_named(tmp_path):
    path = checkpoint.save(tmp_path, {"a": np.arange(100)}, 1)
    with open(path, "r+b") as file:
        file.truncate(50)
    with pytest.raises(errors.DamagedCheckpointError, match=r'checkpoint_1" is damaged'):
        checkpoint.restore(tmp_path, None)
    os.unlink(integrity.manifest_path(path))
    with pytest.raises(errors.MalformedDataError, match=r'checkpoint_1".* at path \./a, byte'):
        checkpoint.restore(tmp_path, None)
    open(path, "w").close()
    with pytest.raises(errors.MalformedDataError, match="checkpoint_1"):
        checkpoint.restore(path, None)


def test_pipes_and_directories_do_not_hang_a_restore(tmp_path):
    os.mkfifo(tmp_path / "checkpoint_9")
    assert checkpoint.restore(tmp_path, 1) == 1
    with pytest.raises(errors.CheckpointOptionError, match="not a regular file"):
        checkpoint.restore(tmp_path / "checkpoint_9", 1)
    (tmp_path / "checkpoint_3").mkdir()  # holds nothing that Orbax makes
    assert checkpoint.restore(tmp_path, 1) == 1
    with pytest.raises(errors.UnsupportedCheckpointError, match="Overwriting the directory"):
        checkpoint.save(tmp_path, 1, 3, overwrite=True)


def test_a_checkpoint_removed_while_restoring_gives_way_to_a_newer_one(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, {"a": 1}, 1)
    latest = checkpoint.reader.latest

    def racing(*args):
        found = latest(*args)
        if found.endswith("_1"):
            checkpoint.save(tmp_path, {"a": 2}, 2)
        return found

    monkeypatch.setattr(checkpoint.reader, "latest", racing)
    assert checkpoint.restore(tmp_path, None) == {"a": 2}


def test_arrays_of_a_restored_file_are_writable_and_own_their_memory(tmp_path):
    checkpoint.save(tmp_path, {"a": np.arange(10), "b": np.float32(2)}, 1)
    restored = checkpoint.restore(tmp_path, None)
    assert restored["a"].flags.owndata
    assert restored["a"].flags.writeable
    assert isinstance(restored["b"], np.float32)


@pytest.mark.parametrize("form", ["msgpack", "safetensors", "orbax"])
def test_what_is_restored_outlives_the_file(tmp_path, form):
    if form == "orbax":
        pytest.importorskip("orbax.checkpoint")
    tree = {"large": np.arange(100_000.0), "small": {"a": np.arange(3), "b": np.ones((2, 2))}}
    source = checkpoint.save(tmp_path, tree, 1)
    path = tmp_path / f"copy.{form}"
    if form == "msgpack":
        shutil.copy(source, path)
    else:
        checkpoint.convert(source, path)
    restored = checkpoint.restore(path, tree)
    for file in [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]:
        size = file.stat().st_size
        with open(file, "r+b") as stream:
            stream.write(bytes(size))
            stream.truncate(size // 2)
    jax.tree.map(assert_exact, restored, tree)


def test_files_that_fill_large_pages_are_read_and_checked_as_others(tmp_path):
    tree = {f"layer{n:03}": {"a": np.full((8, 8), n, "f4"), "b": np.ones(8)} for n in range(15000)}
    path = checkpoint.save(tmp_path, tree, 1)
    size = os.path.getsize(path)
    assert size > msgpack._LARGE
    restored = checkpoint.restore(tmp_path, tree)
    assert_exact(restored["layer14999"]["a"], tree["layer14999"]["a"])
    with open(path, "rb", buffering=0) as file:
        whole = file.read()
        for expected in (size, size - 1, size + 1):  # it grew, or became shorter, meanwhile
            file.seek(0)
            assert bytes(msgpack._content(file, expected)[:]) == whole
    with open(path, "r+b") as file:
        file.seek(size // 2)
        file.write(bytes(8))
    with pytest.raises(errors.DamagedCheckpointError):
        checkpoint.restore(tmp_path, tree)
