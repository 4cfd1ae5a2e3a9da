"""The arguments for Orbax are those that Flax makes, and Orbax accepts them."""

# ruff: noqa: E402
import pytest

flax = pytest.importorskip("flax")
orbax = pytest.importorskip("orbax.checkpoint")

import jax
import jax.numpy as jnp
import numpy as np
from flax.training import orbax_utils as flax_orbax_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tests.tolerance import assert_exact

from ramie.training import orbax_utils

MESH = Mesh(np.array(jax.local_devices()), ("x",))
SPREAD = jax.device_put(jnp.arange(8.0), NamedSharding(MESH, PartitionSpec("x")))
TREE = {
    "array": jnp.arange(4.0),
    "numpy": np.arange(3),
    "count": 7,
    "rate": 0.5,
    "note": "made of strings too",
    "nothing": None,
}


@pytest.mark.parametrize(
    "tree",
    [
        TREE,
        {"spread": SPREAD, "flag": True},
        jax.ShapeDtypeStruct((8,), jnp.float32, sharding=SPREAD.sharding),
        {"bare": jax.ShapeDtypeStruct((8,), jnp.float32)},
        None,
    ],
    ids=["mixed", "spread", "shape", "bare", "none"],
)
def test_same_arguments(tree):
    for name in ("save_args_from_target", "restore_args_from_target"):
        ours, theirs = getattr(orbax_utils, name), getattr(flax_orbax_utils, name)
        assert ours(tree) == theirs(tree)


@pytest.mark.parametrize(
    "tree",
    [{"a": jnp.ones(1), "b": {"c": None, "d": {}}}, {}, None, {"x": {"y": (None, 1)}}],
    ids=["nested", "empty", "none", "tuple"],
)
def test_same_transformations(tree):
    ours = orbax_utils.maybe_construct_transformations(tree, None)
    assert ours == flax_orbax_utils.maybe_construct_transformations(tree, None)


def test_same_answer_about_devices():
    for value in (SPREAD, jnp.ones(2), jax.device_put(1.0, NamedSharding(MESH, PartitionSpec()))):
        assert orbax_utils.is_multi_device_array(value) == flax_orbax_utils.is_multi_device_array(
            value
        )


def test_mesh_is_accepted_and_has_no_effect():
    with pytest.warns(DeprecationWarning, match="no effect"):
        args = orbax_utils.restore_args_from_target(TREE["array"], mesh=MESH)
    assert args.sharding == TREE["array"].sharding


@pytest.mark.filterwarnings("ignore")
def test_a_tree_with_strings_goes_to_disk_and_back(tmp_path):
    tree = {name: value for name, value in TREE.items() if value is not None}
    checkpointer = orbax.PyTreeCheckpointer()
    checkpointer.save(tmp_path / "tree", tree, save_args=orbax_utils.save_args_from_target(tree))
    restored = checkpointer.restore(
        tmp_path / "tree", item=tree, restore_args=orbax_utils.restore_args_from_target(tree)
    )
    assert_exact(restored["array"], tree["array"])
    assert_exact(restored["numpy"], tree["numpy"])
    for name in ("count", "rate", "note"):
        assert restored[name] == tree[name]
