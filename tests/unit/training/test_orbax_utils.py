"""Arguments for Orbax: what they say, and that Orbax accepts them."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tests.tolerance import assert_exact

from ramie import errors
from ramie.training import orbax_utils

TREE = {
    "array": jnp.arange(4.0),
    "numpy": np.arange(3),
    "count": 7,
    "rate": 0.5,
    "note": "made of strings too",
}


def on_all_devices(*spec):
    mesh = Mesh(np.array(jax.local_devices()), ("x",))
    return jax.device_put(jnp.arange(8.0), NamedSharding(mesh, PartitionSpec(*spec)))


def test_is_multi_device_array():
    if jax.local_device_count() == 1:
        pytest.skip("needs several devices")
    assert orbax_utils.is_multi_device_array(on_all_devices("x"))
    for value in (on_all_devices(), jnp.ones(2), np.ones(2), 3, "text"):
        assert not orbax_utils.is_multi_device_array(value)


def test_missing_orbax_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(errors.MissingExtraError, match=r"pip install 'ramie\[orbax\]'"):
        orbax_utils.save_args_from_target(TREE)


def test_own_transforms_are_passed_through():
    assert orbax_utils.maybe_construct_transformations({"a": None}, {"a": 1}) == {"a": 1}


class TestWithOrbax:
    @pytest.fixture(scope="class")
    def orbax(self):
        return pytest.importorskip("orbax.checkpoint")

    def test_restore_args_follow_the_leaves(self, orbax):
        args = orbax_utils.restore_args_from_target(TREE)
        assert args["array"].sharding == TREE["array"].sharding
        kinds = {name: arg.restore_type for name, arg in args.items()}
        assert kinds == {
            "array": jax.Array,
            "numpy": np.ndarray,
            "count": int,
            "rate": float,
            "note": str,
        }
        shape = jax.ShapeDtypeStruct((8,), jnp.float32, sharding=on_all_devices("x").sharding)
        assert orbax_utils.restore_args_from_target(shape).sharding == shape.sharding
        bare = jax.ShapeDtypeStruct((8,), jnp.float32)
        assert orbax_utils.restore_args_from_target(bare).restore_type is np.ndarray

    def test_mesh_is_accepted_and_has_no_effect(self, orbax):
        mesh = Mesh(np.array(jax.local_devices()), ("x",))
        with pytest.warns(DeprecationWarning, match="no effect"):
            args = orbax_utils.restore_args_from_target(TREE["array"], mesh=mesh)
        assert args.sharding == TREE["array"].sharding

    def test_none_falls_back_to_the_target(self, orbax):
        tree = {"a": jnp.ones(1), "b": {"c": None, "d": {}}}
        transforms = orbax_utils.maybe_construct_transformations(tree, None)
        assert list(transforms) == ["b/c"] and transforms["b/c"].use_fallback

    @pytest.mark.filterwarnings("ignore")
    def test_a_tree_with_strings_goes_to_disk_and_back(self, orbax, tmp_path):
        checkpointer = orbax.PyTreeCheckpointer()
        args = orbax_utils.save_args_from_target(TREE)
        checkpointer.save(tmp_path / "tree", TREE, save_args=args)
        restored = checkpointer.restore(
            tmp_path / "tree", item=TREE, restore_args=orbax_utils.restore_args_from_target(TREE)
        )
        assert_exact(restored["array"], TREE["array"])
        assert_exact(restored["numpy"], TREE["numpy"])
        assert {k: restored[k] for k in ("count", "rate", "note")} == {
            k: TREE[k] for k in ("count", "rate", "note")
        }
