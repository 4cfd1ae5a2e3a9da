"""Orbax directories: what is read back, what is refused, and that damage is found."""

import pytest

pytest.importorskip("orbax.checkpoint")

import gc
import os
import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.checkpoint.formats import orbax, orbax_saving
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import folders
from ramie.training import checkpoints
from ramie.training.train_state import TrainState
from ramie.trees.frozen import FrozenDict


@pytest.fixture
def orbax_fails():
    """Let the coroutines go that Orbax leaves behind where it fails: each tells so when it goes."""
    yield
    gc.collect()


def save(folder, tree, step=1, **options):
    return checkpoints.save_checkpoint(
        folder, tree, step, orbax_checkpointer=ocp.PyTreeCheckpointer(), **options
    )


def mixed_tree():
    return {
        "wide": np.arange(6, dtype=np.int8).reshape(2, 3),
        "half": jnp.ones(2, jnp.bfloat16),
        "list": [jnp.ones(2), (1, 2.5)],
        "step": 3,
        "flag": True,
        "name": "text",
        "nothing": None,
        "empty": [],
        "key": jax.random.key(7),
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save(tmp_path_factory.mktemp("orbax"), mixed_tree())


def test_everything_comes_back_as_nested_dictionaries(saved):
    found = checkpoint.restore(saved, None)
    assert_exact(found["wide"], mixed_tree()["wide"])
    assert_exact(found["half"], np.ones(2, jnp.bfloat16))
    assert isinstance(found["half"], np.ndarray)
    assert_exact(found["list"]["0"], np.ones(2, np.float32))
    assert found["list"]["1"] == {"0": 1, "1": 2.5}
    assert (found["step"], found["flag"], found["name"]) == (3, True, "text")
    assert found["nothing"] is None and found["empty"] == {}
    assert_exact(jax.random.key_data(found["key"]), jax.random.key_data(jax.random.key(7)))


def test_a_target_gets_its_own_types_and_devices(saved):
    found = checkpoint.restore(saved, mixed_tree())
    assert jax.tree.structure(found) == jax.tree.structure(mixed_tree())
    assert isinstance(found["wide"], np.ndarray) and isinstance(found["half"], jax.Array)
    assert type(found["list"][1]) is tuple and type(found["step"]) is int
    assert found["key"].dtype == mixed_tree()["key"].dtype


def test_a_training_state_comes_back_whole(tmp_path):
    state = TrainState.create(
        apply_fn=None, params=FrozenDict({"a": jnp.arange(3.0)}), tx=optax.adam(1e-3)
    )
    later = state.apply_gradients(grads=FrozenDict({"a": jnp.ones(3)}))
    save(tmp_path, later)
    restored = checkpoints.restore_checkpoint(tmp_path, state)
    assert jax.tree.structure(restored) == jax.tree.structure(later)
    for one, other in zip(jax.tree.leaves(restored), jax.tree.leaves(later), strict=True):
        assert_exact(one, other)


def test_a_part_is_enough_and_what_is_missing_is_listed(saved):
    part = {"list": [np.zeros(2, np.float32), (0, 0.0)], "step": 0}
    found = checkpoint.restore(saved, part)
    assert_exact(found["list"][0], np.ones(2, np.float32))
    assert found["step"] == 3 and set(found) == set(part)
    with pytest.raises(errors.CheckpointMismatchError, match=r"list/1"):
        checkpoint.restore(saved, {"list": [np.zeros(2, np.float32)]})
    wrong = {
        "wide": np.zeros((2, 4), np.int8),
        "half": np.zeros(2, np.float32),
        "gone": {"x": np.zeros(1), "y": 2},
        "name": {"deep": 1},
    }
    with pytest.raises(errors.CheckpointMismatchError) as caught:
        checkpoint.restore(saved, wrong)
    text = str(caught.value)
    for line in ("./gone", "./wide: (2, 4) wanted, (2, 3) found", "bfloat16 found", "./name"):
        assert line in text
    del wrong["gone"], wrong["name"]
    loose = checkpoint.restore(saved, wrong, strict=False)
    assert loose["wide"].shape == (2, 3) and loose["half"].dtype == jnp.bfloat16


def test_sharded_arrays_come_back_on_any_sharding(tmp_path):
    devices = jax.devices()
    mesh = Mesh(np.array(devices), ("x",))
    spread = NamedSharding(mesh, PartitionSpec("x"))
    values = jnp.arange(8.0)
    save(tmp_path, {"a": jax.device_put(values, spread)})
    for count in (1, 2, len(devices)):
        sharding = NamedSharding(Mesh(np.array(devices[:count]), ("x",)), PartitionSpec("x"))
        target = {"a": jax.ShapeDtypeStruct((8,), jnp.float32, sharding=sharding)}
        found = checkpoints.restore_checkpoint(tmp_path, target)["a"]
        assert found.sharding.is_equivalent_to(sharding, 1)
        assert_exact(found, values)
    assert_exact(checkpoints.restore_checkpoint(tmp_path, None)["a"], values)


def test_transforms_are_those_of_orbax(tmp_path):
    save(tmp_path, {"old": np.arange(3), "same": np.ones(2)})
    target = {"new": np.zeros(3, int), "same": np.zeros(2), "added": np.full(2, 9)}
    with pytest.raises(errors.CheckpointMismatchError, match=r"new[\s\S]*added"):
        checkpoints.restore_checkpoint(tmp_path, target)
    renamed = checkpoints.restore_checkpoint(
        tmp_path, target, orbax_transforms={"new": ocp.Transform(original_key="old")}
    )
    assert_exact(renamed["new"], np.arange(3))
    assert_exact(renamed["added"], np.full(2, 9))


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        (np.ones(2), "single value"),
        (3, "single value"),
        ([], "holds nothing"),
        (None, "holds nothing"),
        ({"a": {"b": np.zeros((0, 3))}}, "without elements at a/b"),
        ({"a": {"b": np.ones(1)}, "a.b": np.ones(1)}, "2 leaves called 'a.b'"),
        ({"a": 1j}, "type complex at a"),
        ({"a": b"bytes"}, "type bytes at a"),
    ],
)
def test_what_orbax_cannot_hold_is_refused_before_anything_is_written(tmp_path, tree, problem):
    with pytest.raises(ValueError, match=problem):
        save(tmp_path / "run", tree)
    assert not (tmp_path / "run").exists()


def test_damage_is_found_and_named_and_the_one_before_is_offered(tmp_path):
    tree = {"a": np.arange(10_000.0)}
    for step in (1, 2):
        path = save(tmp_path, tree, step, keep=2)
    assert checkpoint.verify(path).state == "intact"
    files = [os.path.join(path, name) for name in ("manifest.ocdbt", "_METADATA")]
    data = os.path.join(path, "d")
    files.append(os.path.join(data, os.listdir(data)[0]))
    for file in files:
        with open(file, "r+b") as stream:
            content = stream.read()
            stream.seek(len(content) // 2)
            stream.write(bytes([content[len(content) // 2] ^ 4]))
        with pytest.raises(errors.DamagedCheckpointError, match=r"undamaged.*checkpoint_1"):
            checkpoint.restore(tmp_path, None)
        assert checkpoint.verify(path).state == "damaged"
        with open(file, "wb") as stream:
            stream.write(content)
    assert checkpoint.verify(path).state == "intact"
    os.unlink(files[0])
    with pytest.warns(RuntimeWarning, match="checkpoint_1"):
        assert_exact(checkpoint.restore(tmp_path, None, fallback=True)["a"], tree["a"])


def test_a_flipped_bit_in_any_file_is_found(tmp_path):
    path = save(tmp_path, {"a": np.arange(100.0), "b": "text"})
    generator = random.Random(0)
    files = storage.files_below(path)
    assert len(files) > 8
    for file in files:
        with open(file, "rb") as stream:
            content = stream.read()
        if not content:
            continue
        place = generator.randrange(len(content))
        flipped = bytearray(content)
        flipped[place] ^= 1 << generator.randrange(8)
        with open(file, "wb") as stream:
            stream.write(flipped)
        with pytest.raises(errors.DamagedCheckpointError) as caught:
            folders.check(path)
        assert caught.value.source == file
        with open(file, "wb") as stream:
            stream.write(content)
    assert folders.check(path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("orbax_fails")
def test_without_a_manifest_it_is_read_and_damage_is_an_error_of_ours(tmp_path):
    saved = save(tmp_path / "run", {"a": np.arange(100.0)})
    shutil.copytree(saved, tmp_path / "alone")
    assert checkpoint.verify(tmp_path / "alone").state == "readable"
    (tmp_path / "alone" / "manifest.ocdbt").write_bytes(b"nonsense")
    assert checkpoint.verify(tmp_path / "alone").state == "damaged"
    with pytest.raises(errors.MalformedDataError, match="alone"):
        checkpoint.restore(tmp_path / "alone", None)
    (tmp_path / "alone" / "_METADATA").write_bytes(b"{")
    with pytest.raises(errors.MalformedDataError, match="alone"):
        checkpoint.restore(tmp_path / "alone", None)


def test_a_copied_directory_is_still_checked(tmp_path):
    save(tmp_path / "run", {"a": np.arange(100.0)})
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert checkpoint.verify(tmp_path / "copy" / "checkpoint_1").state == "intact"
    (tmp_path / "copy" / "checkpoint_1" / "_METADATA").write_bytes(b"{}")
    assert checkpoint.verify(tmp_path / "copy" / "checkpoint_1").state == "damaged"


def test_directories_of_a_manager_are_read(tmp_path):
    with ocp.CheckpointManager(tmp_path / "run") as manager:
        manager.save(3, args=ocp.args.StandardSave({"a": np.arange(3)}))
    assert checkpoint.latest(tmp_path / "run", "") == str(tmp_path / "run" / "3")
    assert_exact(checkpoint.restore(tmp_path / "run", None, prefix="")["a"], np.arange(3))
    assert checkpoint.latest(tmp_path / "run") is None


def test_names_are_those_of_state_dicts():
    state = TrainState.create(apply_fn=None, params={"a": 1.0}, tx=optax.adam(1e-3))
    names = {orbax.names_of(keys) for keys, _ in jax.tree.leaves_with_path(state)}
    assert ("opt_state", "0", "mu", "a") in names and ("step",) in names


def test_values_that_are_no_pytree_go_as_their_state_dict():
    class Thing:
        pass

    from ramie import serialization

    serialization.register_serialization_state(
        Thing, lambda thing: {"inside": np.ones(1)}, lambda thing, state: thing
    )
    assert list(orbax_saving.prepare({"thing": Thing()})["thing"]) == ["inside"]


def test_without_orbax_the_extra_is_named(tmp_path, monkeypatch, saved):
    import sys

    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(errors.MissingExtraError, match=r"ramie\[orbax\]"):
        checkpoint.restore(saved, None)
