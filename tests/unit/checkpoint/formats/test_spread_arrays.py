"""Arrays that Flax kept in directories beside its files."""

# ruff: noqa: E402

import shutil

import pytest

tensorstore = pytest.importorskip("tensorstore")

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tests.listing import names
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.training import checkpoints


def store(folder, array):
    """Write an array as Flax has it written: zarr, by TensorStore."""
    spec = {
        "driver": "zarr",
        "kvstore": {"driver": "file", "path": str(folder)},
        "metadata": {"shape": array.shape, "dtype": array.dtype.str, "chunks": [2]},
    }
    tensorstore.open(spec, create=True, open=True).result().write(array).result()


@pytest.fixture
def saved(tmp_path):
    tree = {"w": {"a": "//GDAPlaceholder:w/a"}, "step": 3}
    checkpoint.save(tmp_path, tree, 1)
    store(tmp_path / "checkpoint_1_gda" / "w" / "a", np.arange(8, dtype=np.float32))
    return tmp_path


def test_placeholders_become_arrays_sharded_as_the_target(saved):
    whole = np.arange(8, dtype=np.float32)
    assert_exact(checkpoints.restore_checkpoint(saved, None)["w"]["a"], whole)
    sharding = NamedSharding(Mesh(np.array(jax.devices()), ("x",)), PartitionSpec("x"))
    target = {"w": {"a": jax.device_put(jnp.zeros(8), sharding)}, "step": 0}
    found = checkpoints.restore_checkpoint(saved, target)
    assert found["w"]["a"].sharding == sharding and found["step"] == 3
    assert_exact(np.asarray(found["w"]["a"]), whole)


@pytest.mark.parametrize("values", [np.arange(8.0), np.arange(6, dtype=np.float32)])
def test_what_a_sharding_cannot_hold_comes_as_saved(saved, values):
    place = saved / "checkpoint_1_gda" / "w" / "a"
    shutil.rmtree(place)
    store(place, values)
    sharding = NamedSharding(Mesh(np.array(jax.devices()), ("x",)), PartitionSpec("x"))
    target = {"w": {"a": jax.device_put(jnp.zeros(8), sharding)}, "step": 0}
    assert_exact(checkpoint.restore(saved, target, strict=False)["w"]["a"], values)
    with pytest.raises(errors.CheckpointMismatchError, match="w/a"):
        checkpoint.restore(saved, target)


def test_what_the_target_leaves_out_is_not_read(saved):
    (saved / "checkpoint_1_gda" / "w" / "a" / ".zarray").unlink()
    assert checkpoints.restore_checkpoint(saved, {"step": 0}) == {"step": 3}
    with pytest.raises(errors.MPARestoreDataCorruptedError, match="_gda/w/a"):
        checkpoints.restore_checkpoint(saved, None)


@pytest.mark.parametrize("name", ["../../secret", "/etc", "a/../../b", ""])
def test_placeholders_lead_nowhere_else(tmp_path, name):
    checkpoint.save(tmp_path, {"a": "//GDAPlaceholder:" + name}, 1)
    with pytest.raises(errors.MalformedDataError, match="leads elsewhere"):
        checkpoint.restore(tmp_path, None)


def test_they_go_with_their_file(saved):
    checkpoint.save(saved, {}, 2)
    assert names(saved) == ["checkpoint_2"]


def test_damaged_arrays_are_an_error_of_ours(saved):
    (saved / "checkpoint_1_gda" / "w" / "a" / ".zarray").write_text("{")
    with pytest.raises(errors.MalformedDataError, match="_gda/w/a"):
        checkpoint.restore(saved, None)
