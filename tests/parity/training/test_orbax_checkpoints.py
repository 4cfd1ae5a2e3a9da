"""Orbax directories against Flax's backend for them: the same trees, each reading the other's."""

# ruff: noqa: E402
import pytest

flax = pytest.importorskip("flax")
ocp = pytest.importorskip("orbax.checkpoint")

import json
import os

import flax.training.checkpoints as peer
import flax.training.train_state as peer_train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import config as peer_config
from flax.core import FrozenDict as PeerFrozenDict
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tests.listing import names
from tests.tolerance import assert_exact

from ramie import errors
from ramie.configurations import config
from ramie.training import checkpoints as ours
from ramie.training import train_state
from ramie.trees.frozen import FrozenDict

pytestmark = pytest.mark.filterwarnings("ignore")  # those of Flax and Orbax


@pytest.fixture(autouse=True)
def orbax_saves():
    with (
        peer_config.temp_flip_flag("use_orbax_checkpointing", True),
        config.temp_flip_flag("use_orbax_checkpointing", True),
    ):
        yield


def tree(frozen_dict, state_class):
    params = frozen_dict({"Dense_0": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}})
    state = state_class.create(apply_fn=None, params=params, tx=optax.adam(1e-3))
    mesh = Mesh(np.array(jax.devices()), ("x",))
    spread = jax.device_put(jnp.arange(8.0), NamedSharding(mesh, PartitionSpec("x")))
    return {
        "state": state,
        "spread": spread,
        "list": [jnp.ones(2, jnp.bfloat16), (1, 0.5)],
        "numpy": np.arange(3, dtype=np.int8),
        "name": "net",
        "nothing": None,
        "empty": {},
        "flag": True,
    }


def our_tree():
    return tree(FrozenDict, train_state.TrainState)


def peer_tree():
    return tree(PeerFrozenDict, peer_train_state.TrainState)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same tree, saved by each side."""
    mine, theirs = tmp_path_factory.mktemp("ours"), tmp_path_factory.mktemp("theirs")
    with (
        peer_config.temp_flip_flag("use_orbax_checkpointing", True),
        config.temp_flip_flag("use_orbax_checkpointing", True),
    ):
        ours.save_checkpoint(mine, our_tree(), 3)
        peer.save_checkpoint(theirs, peer_tree(), 3)
    return mine, theirs


def assert_same_leaves(one, other):
    leaves, others = jax.tree.leaves(one), jax.tree.leaves(other)
    assert len(leaves) == len(others)
    for leaf, twin in zip(leaves, others, strict=True):
        if isinstance(leaf, str):
            assert leaf == twin
        else:
            assert_exact(leaf, twin)


def test_the_same_tree_is_described(folders):
    pages = []
    for folder in folders:
        with open(folder / "checkpoint_3" / "_METADATA") as file:
            pages.append(json.load(file))
    assert pages[0] == pages[1]
    listed = [sorted(os.listdir(folder / "checkpoint_3")) for folder in folders]
    assert listed[0] == listed[1]


def test_each_side_restores_what_the_other_saved(folders):
    mine, theirs = folders
    assert_same_leaves(ours.restore_checkpoint(theirs, our_tree()), our_tree())
    assert_same_leaves(peer.restore_checkpoint(mine, peer_tree()), peer_tree())
    restored = ours.restore_checkpoint(theirs, our_tree())
    assert type(restored["state"].opt_state[0]) is type(our_tree()["state"].opt_state[0])
    assert restored["spread"].sharding == our_tree()["spread"].sharding


def test_without_a_target_the_dictionaries_are_the_same(folders):
    found = [
        read(folder, None)
        for folder in folders
        for read in (ours.restore_checkpoint, peer.restore_checkpoint)
    ]
    for other in found[1:]:
        assert jax.tree.structure(found[0]) == jax.tree.structure(other)
        assert_same_leaves(found[0], other)


def test_files_of_both_formats_are_told_apart_on_both_sides(tmp_path):
    small = {"a": np.arange(3)}
    with (
        peer_config.temp_flip_flag("use_orbax_checkpointing", False),
        config.temp_flip_flag("use_orbax_checkpointing", False),
    ):
        peer.save_checkpoint(tmp_path, small, 1)
        ours.save_checkpoint(tmp_path, small, 2, keep=5)
    ours.save_checkpoint(tmp_path, small, 3, keep=5)
    peer.save_checkpoint(tmp_path, small, 4, keep=5)
    for step in (1, 2, 3, 4):
        for read in (ours.restore_checkpoint, peer.restore_checkpoint):
            assert_exact(read(tmp_path, small, step)["a"], small["a"])


def test_the_same_checkpoints_stay(tmp_path):
    for module, name in ((ours, "ours"), (peer, "theirs")):
        for step in (1, 2, 3, 5, 8, 9):
            module.save_checkpoint(tmp_path / name, {"a": 1}, step, keep=2, keep_every_n_steps=3)
        module.save_checkpoint(tmp_path / name, {"a": 2}, 8, keep=2, overwrite=True)
    assert names(tmp_path / "ours") == names(tmp_path / "theirs")


@pytest.mark.parametrize("single", [np.ones(2), 3, [], {}])
def test_both_refuse_what_is_no_tree(tmp_path, single):
    for module in (ours, peer):
        with pytest.raises(ValueError):
            module.save_checkpoint(tmp_path, single, 1)


def test_a_missing_value_is_an_error_here_and_taken_from_the_target_on_request(tmp_path):
    peer.save_checkpoint(tmp_path, {"a": np.arange(3)}, 1)
    larger = {"a": np.zeros(3, int), "new": np.full(2, 7)}
    with pytest.raises(errors.CheckpointMismatchError, match="new"):
        ours.restore_checkpoint(tmp_path, larger)
    for read in (ours.restore_checkpoint, peer.restore_checkpoint):
        found = read(tmp_path, larger, orbax_transforms={})
        assert_exact(found["a"], np.arange(3))
        assert_exact(found["new"], np.full(2, 7))


def test_background_checkpointers_save_what_flax_restores(tmp_path):
    checkpointer = ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler())
    for step in (1, 2):
        ours.save_checkpoint(
            tmp_path, {"a": np.full(3, step)}, step, orbax_checkpointer=checkpointer
        )
    found = peer.restore_checkpoint(
        tmp_path, {"a": np.zeros(3, int)}, orbax_checkpointer=checkpointer
    )
    assert_exact(found["a"], np.full(3, 2))
    checkpointer.close()


VALUES = {
    "float": 0.93,
    "float32": np.float32(0.71),
    "0-d": np.asarray(0.93),
    "(1,)": np.asarray([0.93]),
    "int64": np.asarray([70_000, 3]),
    "bfloat16": jnp.asarray([0.3, 0.6], jnp.bfloat16),
}


@pytest.mark.parametrize(
    "wanted", [0, False, np.zeros(2, np.int16), np.float32(0), jax.ShapeDtypeStruct((), np.int8)]
)
def test_values_come_as_saved_into_what_is_no_jax_array(tmp_path, wanted):
    ours.save_checkpoint(tmp_path, VALUES, 1)
    found, theirs = (
        module.restore_checkpoint(tmp_path, dict.fromkeys(VALUES, wanted))
        for module in (ours, peer)
    )
    for name, value in theirs.items():
        assert_exact(np.asarray(found[name]), value)
        assert_exact(np.asarray(found[name]), np.asarray(VALUES[name]))


def test_jax_arrays_in_the_target_cast_with_flax_and_not_with_ours(tmp_path):
    ours.save_checkpoint(tmp_path, VALUES, 1)
    target = dict.fromkeys(VALUES, jnp.zeros(2, jnp.int16))
    found, theirs = (module.restore_checkpoint(tmp_path, target) for module in (ours, peer))
    assert_exact(theirs["int64"], np.asarray([4464, 3], np.int16))
    assert_exact(theirs["float"], np.asarray(0, np.int16))
    for name, value in VALUES.items():
        assert_exact(np.asarray(found[name]), np.asarray(value))
