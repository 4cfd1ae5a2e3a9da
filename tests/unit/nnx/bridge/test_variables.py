"""Variables of NNX as entries of Linen's collections, and back."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec
from tests.tolerance import assert_exact

from ramie import linen as nn
from ramie import nnx, struct
from ramie.core import meta
from ramie.nnx import bridge
from ramie.nnx.bridge import variables as convert


@pytest.fixture(autouse=True)
def _placed_nowhere():
    with nnx.use_eager_sharding(False):
        yield


def test_plain_values_have_no_box():
    assert_exact(convert.to_linen_var(nnx.Param(jnp.ones(2))), jnp.ones(2))
    assert not convert.is_vanilla_variable(nnx.Param(1, on_get_value=lambda v, x: x))

    class Hooked(nnx.Param):
        def on_get_value(self, value):
            return value

    assert convert.is_vanilla_variable(Hooked(1))


def test_metadata_goes_into_a_box_and_comes_back():
    box = convert.to_linen_var(nnx.Param(jnp.ones(2), note=1))
    assert isinstance(box, bridge.NNXMeta) and box.metadata["note"] == 1
    back = convert.to_nnx_var("params", box)
    assert type(back) is nnx.Param and back.note == 1
    with pytest.raises(ValueError, match="Type stored in NNXMeta"):
        convert.to_nnx_var("batch_stats", box)


@pytest.mark.parametrize(
    "box",
    [
        nn.Partitioned(jnp.ones((2, 3)), ("a", None)),
        nn.LogicallyPartitioned(jnp.ones((2, 3)), ("a", None), rules=(("a", "x"),)),
    ],
)
def test_boxes_of_linen_survive(box):
    variable = convert.to_nnx_var("params", box)
    assert variable.out_sharding == ("a", None) and variable.linen_meta_type is type(box)
    back = convert.to_linen_var(variable)
    assert type(back) is type(box) and back.names == box.names
    assert getattr(back, "rules", None) == getattr(box, "rules", None)


def test_boxes_keep_step_with_axes():
    box = bridge.NNXMeta(nnx.Param, jnp.ones(2), {"out_sharding": ("x",), "note": 1})
    more = box.add_axis(0, {"partition_name": "layers"})
    assert more.metadata == {"out_sharding": ("layers", "x"), "note": 1}
    assert more.remove_axis(0, {"partition_name": "layers"}).metadata == box.metadata
    assert box.add_axis(0, {}) is box
    assert box.get_partition_spec() == PartitionSpec("x")
    assert bridge.NNXMeta(nnx.Param, 1, {}).get_partition_spec() == PartitionSpec()
    assert jax.tree.leaves(box.replace_boxed(3)) == [3] and box.unbox() is box.value


def test_collections_and_attributes():
    collections = {"params": {"a": {"w": 1}}, "batch_stats": {"a": {"m": 2}}, "mine": {"x": 3}}
    attributes = convert.linen_vars_to_nnx_attrs(collections)
    assert type(attributes["a"]["m"]) is nnx.BatchStat
    assert type(attributes["x"]).__name__ == "mine"
    assert convert.nnx_attrs_to_linen_vars(attributes) == collections
    for clash in [
        {"params": {"a": 1}, "batch_stats": {"a": 2}},
        {"params": {"a": {"b": 1}}, "batch_stats": {"a": 2}},
        {"params": {"a": 1}, "zzz": {"a": {"b": 2}}},
    ]:
        with pytest.raises(ValueError, match="Found duplicate variable path"):
            convert.linen_vars_to_nnx_attrs(clash)
    with pytest.raises(ValueError, match="Cannot infer collection name"):
        convert.nnx_attrs_to_linen_vars({"a": jnp.ones(1)})
    with pytest.raises(ValueError, match="is not registered"):
        convert.nnx_attrs_to_linen_vars({"a": nnx.RngKey(jax.random.key(0), tag="t")})


def test_kinds_are_sorted_from_special_to_general():
    kinds = [nnx.Variable, nnx.Intermediate, nnx.Perturbation]
    assert convert.sort_variable_types(kinds) == kinds[::-1]


def test_initializers_with_axes():
    init = bridge.with_partitioning(nnx.initializers.ones_init(), ("a", None))
    variable = nnx.Param(init(jax.random.key(0), (2, 2)))
    assert isinstance(convert.to_linen_var(variable), nn.Partitioned)


def test_metadata_in_linen_leaves_out_what_every_variable_has():
    box = convert.to_linen_var(nnx.Param(1, note=2))
    assert box.metadata == {"note": 2}
    # What differs from the default has to come back.
    box = convert.to_linen_var(nnx.Param(1, note=2, eager_sharding=True))
    assert box.metadata == {"note": 2, "eager_sharding": True}
    assert convert.to_nnx_var("params", box).get_metadata("eager_sharding") is True


class Named(struct.PyTreeNode, meta.AxisMetadata[Any]):
    """A box of a user that says itself what the metadata of its variable is."""

    value: Any
    names: Any = struct.field(pytree_node=False, default=None)
    given: Any = struct.field(pytree_node=False, default=None)

    def unbox(self):
        return self.value

    def replace_boxed(self, val):
        return self.replace(value=val)

    def add_axis(self, index, params):
        return self

    def remove_axis(self, index, params):
        return self


class Translated(Named):
    """Another one, which translates."""

    def to_nnx_metadata(self):
        return {"value": self.value, "called": self.names}

    @classmethod
    def from_nnx_metadata(cls, metadata):
        return cls(metadata["value"], metadata["called"], sorted(metadata))


def test_boxes_of_users_keep_their_fields_or_translate_them():
    variable = convert.to_nnx_var("params", Named(jnp.ones(2), ("a",)))
    assert variable.get_metadata(exclude_required=True) == {
        "names": ("a",),
        "given": None,
        "linen_meta_type": Named,
    }
    assert convert.to_linen_var(variable).names == ("a",)
    variable = convert.to_nnx_var("params", Translated(jnp.ones(2), ("a",)))
    assert variable.get_metadata("called") == ("a",)
    box = convert.to_linen_var(variable)
    assert (type(box), box.names) == (Translated, ("a",))
    assert box.given == ["called", "value"]  # and no note on the bridge's own account


@pytest.mark.parametrize("cls", [nn.Partitioned, nn.LogicallyPartitioned])
def test_boxes_of_linen_say_what_their_metadata_is(cls):
    box = cls(1, ("a", None))
    assert box.to_nnx_metadata()["out_sharding"] == ("a", None)
    assert cls.from_nnx_metadata(box.to_nnx_metadata()) == box
