"""Metadata boxes: axis names that follow what transformations do to values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tests.tolerance import assert_exact

from ramie import errors, serialization
from ramie.core import meta

LAYERS = {meta.Partitioned.AXIS_NAME: "layers"}
names = st.lists(st.sampled_from(["a", "b", None]), max_size=4).map(tuple)


def boxed(value=None, names=("in", "out"), mesh=None):
    return meta.Partitioned(jnp.ones((2, 3)) if value is None else value, names, mesh)


def one_device_mesh():
    return jax.make_mesh((1, 1), ("in", "out"), axis_types=(AxisType.Auto,) * 2)


@given(names, st.integers(-5, 6))
def test_a_new_axis_name_stands_where_the_axis_stands(old, index):
    if index < -len(old) - 1:
        index = 0
    new = boxed(names=old).add_axis(index, LAYERS).names
    padded = [*old, *[None] * max(0, index - len(old))]
    position = index if index >= 0 else len(padded) + 1 + index
    assert list(new) == [*padded[:position], "layers", *padded[position:]]
    if index <= len(old):
        assert boxed(names=new).remove_axis(index, LAYERS).names == old


@pytest.mark.parametrize("index", [0, 2, 3, -1, -4])
def test_only_the_axis_of_that_name_can_be_removed(index):
    with pytest.raises(ValueError, match="should be called 'layers'"):
        boxed(names=("in", "layers", "out")).remove_axis(index, LAYERS)


def test_the_name_of_an_axis_has_to_be_given():
    for change in (boxed().add_axis, boxed().remove_axis):
        with pytest.raises(errors.PartitioningUnspecifiedError):
            change(0, {})
    assert boxed().add_axis(0, {meta.PARTITION_NAME: None}).names == (None, "in", "out")


def test_trees_keep_what_is_not_boxed():
    tree = {"kernel": boxed(), "bias": jnp.zeros(3), "inner": boxed(boxed(names=("q",)))}
    bare = meta.unbox(tree)
    assert not any(map(meta.is_axis_metadata, jax.tree.leaves(bare, is_leaf=meta.is_axis_metadata)))
    assert bare["bias"] is tree["bias"]
    again = meta.replace_boxed(
        {"kernel": tree["kernel"], "bias": tree["bias"]},
        {"kernel": jnp.zeros((2, 3)), "bias": jnp.ones(3)},
    )
    assert again["kernel"].names == ("in", "out")
    assert_exact(again["kernel"].value, np.zeros((2, 3), np.float32))
    assert_exact(again["bias"], np.ones(3, np.float32))
    grown = meta.add_axis({"kernel": tree["kernel"], "bias": tree["bias"]}, 0, LAYERS)
    assert grown["kernel"].names == ("layers", "in", "out")
    assert grown["bias"] is tree["bias"]
    assert meta.remove_axis(grown, 0, LAYERS)["kernel"].names == ("in", "out")
    assert meta.map_axis_meta(lambda box: box.names, tree["kernel"]) == ("in", "out")


def test_specs_and_shardings_of_trees():
    mesh = one_device_mesh()
    tree = {"kernel": boxed(), "bias": jax.ShapeDtypeStruct((3,), jnp.float32), "step": 3}
    assert meta.get_partition_spec(tree) == {
        "kernel": PartitionSpec("in", "out"),
        "bias": PartitionSpec(),
        "step": None,
    }
    assert meta.get_sharding(tree, mesh) == {
        "kernel": NamedSharding(mesh, PartitionSpec("in", "out")),
        "bias": NamedSharding(mesh, PartitionSpec()),
        "step": None,
    }


def count_constraints(fn):
    return sum("sharding_constraint" in str(e.primitive) for e in jax.make_jaxpr(fn)().eqns)


def test_unboxing_constrains_only_where_a_mesh_is_known():
    mesh = one_device_mesh()
    assert count_constraints(boxed().unbox) == 0
    assert count_constraints(boxed(mesh=mesh).unbox) == 1
    assert count_constraints(lambda: boxed(mesh=mesh).unbox(apply_constraint=False)) == 0
    assert meta.get_global_mesh() is None
    with jax.set_mesh(mesh):
        assert meta.global_mesh_defined()
        assert meta.get_global_mesh() is not None
        assert count_constraints(boxed().unbox) == 1


def test_boxes_are_pytrees_and_serialize():
    leaves, treedef = jax.tree.flatten(boxed())
    assert len(leaves) == 1
    assert jax.tree.unflatten(treedef, leaves).names == ("in", "out")
    state = serialization.to_state_dict(boxed())
    assert set(state) == {"value"}
    restored = serialization.from_state_dict(boxed(), {"value": jnp.zeros((2, 3))})
    assert_exact(restored.value, np.zeros((2, 3), np.float32))


def test_metadata_of_nnx_goes_back_and_forth():
    again = meta.Partitioned.from_nnx_metadata({**boxed().to_nnx_metadata(), "nickname": "w"})
    assert again.names == ("in", "out")
    assert again.mesh is None


def test_a_wrapped_initializer_is_the_same_each_time():
    ones = jax.nn.initializers.ones
    wrapped = meta.with_partitioning(ones, ("in", "out"))
    assert wrapped is meta.with_partitioning(ones, ("in", "out"))
    assert wrapped is not meta.with_partitioning(ones, ("in", None))
    assert wrapped(jax.random.key(0), (2, 3)).names == ("in", "out")
    unhashable = meta.with_partitioning(ones, ["in", "out"])
    assert unhashable(jax.random.key(0), (2, 3)).names == ["in", "out"]


def test_an_interface_without_its_methods_cannot_be_made():
    class Half(meta.AxisMetadata):
        def unbox(self):
            return None

    with pytest.raises(TypeError, match="abstract"):
        Half()
