"""Logical axis names in collections of their own."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, PartitionSpec
from tests.tolerance import assert_exact

from ramie import core
from ramie import linen as nn
from ramie.linen import partitioning
from ramie.linen.partitioning import AxisMetadata

KEY = jax.random.key(0)
X = jnp.ones((3, 2))
RULES = (("in", "data"), ("out", "model"))


class Layer(nn.Module):
    names: tuple = ("in", "out")

    @nn.compact
    def __call__(self, x):
        w = partitioning.param_with_axes("w", nn.initializers.normal(), (2, 2), axes=self.names)
        seen = partitioning.variable_with_axes("stats", "seen", lambda: x, axes=("in",))
        return x @ w + seen.value, None


def names_of(variables, collection="params_axes"):
    return jax.tree.leaves(variables[collection], is_leaf=lambda x: isinstance(x, AxisMetadata))


def init(model, *args):
    return jax.eval_shape(model.init, KEY, *args)


def test_names_lie_beside_the_variables():
    variables = init(Layer(), X[0])
    assert variables["params_axes"]["w_axes"] == AxisMetadata(("in", "out"))
    assert variables["stats_axes"]["seen_axes"].names == ("in",)
    assert jax.tree.leaves(variables["params_axes"]) == []
    specs = partitioning.get_axis_names(variables["params_axes"])
    assert specs == {"w": PartitionSpec("in", "out")}


def test_names_of_a_tree():
    names = {"a": ("in",), "b": (("in", "out"), None)}
    specs = partitioning.get_axis_names({"layer": {"w_axes": AxisMetadata(names)}})
    found = specs["layer"]["w"]
    assert found["a"] == PartitionSpec("in")
    assert found["b"] == (PartitionSpec("in", "out"), None)
    with pytest.raises(TypeError, match="layer/w"):
        partitioning.get_axis_names({"layer": {"w": 1}})


def test_values_are_constrained_where_a_mesh_is_in_force():
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    with jax.set_mesh(mesh), partitioning.axis_rules(RULES):
        variables = jax.jit(Layer().init)(KEY, X[0])
        y, _ = jax.jit(Layer().apply)(variables, X[0])
    assert_exact(y, Layer().apply(variables, X[0])[0])
    assert "sharding_constraint" in str(
        jax.make_jaxpr(lambda: _under(mesh, lambda: Layer().init(KEY, X[0])))()
    )


def _under(mesh, fn):
    with partitioning.axis_rules(RULES), jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return fn()


def test_names_given_twice_have_to_agree():
    variables = Layer().init(KEY, X[0])
    _, state = Layer(("in", "out", None)).apply(variables, X[0], mutable=["params_axes"])
    assert state["params_axes"] == variables["params_axes"]
    with pytest.raises(ValueError, match="sown twice"):
        Layer(("in", "in")).apply(variables, X[0], mutable=["params_axes"])
    wrong = {**variables, "params_axes": {"w_axes": 3}}
    with pytest.raises(TypeError, match="AxisMetadata"):
        Layer().apply(wrong, X[0], mutable=["params_axes"])


def test_a_module_has_to_run():
    with pytest.raises(ValueError, match="No module is running"):
        partitioning.param_with_axes("w", nn.initializers.ones, (2,), axes=("in",))


def test_a_handle_keeps_its_names_inside_of_a_transformation():
    class Handed(nn.Module):
        @nn.compact
        def __call__(self, x):
            seen = partitioning.variable_with_axes("stats", "seen", lambda: x, axes=("in",))

            def inside(module, handle, x):
                assert isinstance(handle, partitioning.PartitionedVariable)
                assert handle.axes == ("in",)
                handle.value = handle.value + x

            nn.remat(inside)(self, seen, x)
            return seen.value

    y, _ = Handed().init_with_output(KEY, X)
    assert_exact(y, 2 * X)


class Stack(nn.Module):
    axis: int = 0
    collections: tuple = ("params", "stats")

    @nn.compact
    def __call__(self, x):
        layers = partitioning.scan_with_axes(
            Layer,
            variable_axes={"params": self.axis, "stats": 1},
            split_rngs={"params": True},
            in_axes=(),
            length=3,
            axis_name="layer",
            axes_collections=self.collections,
        )(name="layers")
        x, _ = layers(x)
        return layers(x)[0]


@pytest.mark.parametrize(
    ("axis", "names"), [(0, ("layer", "in", "out")), (1, ("in", "layer", "out")), (-1, None)]
)
def test_scan_names_its_axis(axis, names):
    variables = init(Stack(axis), X[0])
    kept = variables["params_axes"]["layers"]["w_axes"].names
    assert kept == (names or ("in", "out", "layer"))
    assert len(kept) == len(variables["params"]["layers"]["w"].shape)
    assert variables["stats_axes"]["layers"]["seen_axes"].names == ("in", "layer")


def test_scan_reads_and_joins_names():
    variables = Stack().init(KEY, X[0])
    _, state = jax.eval_shape(lambda v: Stack().apply(v, X[0], mutable=True), variables)
    assert state["params_axes"] == variables["params_axes"]
    jax.eval_shape(Stack().apply, variables, X[0])
    wrong = {**variables, "params_axes": {"layers": {"w_axes": AxisMetadata(("in", "out"))}}}
    with pytest.raises(ValueError, match="position 0"):
        jax.eval_shape(lambda: Stack().apply(wrong, X[0], mutable=["params_axes"]))
    assert "params_axes" not in init(Stack(collections=("stats",)), X[0])


class Copies(nn.Module):
    axes: dict
    axis_names: dict

    @nn.compact
    def __call__(self, x):
        return partitioning.vmap_with_axes(
            Layer,
            variable_axes=self.axes,
            split_rngs={"params": True},
            partitioning_axis_names=self.axis_names,
        )(name="copies")(x)[0]


def test_vmap_names_its_axis():
    model = Copies({"params": 1, "stats": 0}, {"params": "copy", "stats": "copy"})
    variables = init(model, X)
    assert variables["params_axes"]["copies"]["w_axes"].names == ("in", "copy", "out")
    assert variables["stats_axes"]["copies"]["seen_axes"].names == ("copy", "in")
    assert variables["params"]["copies"]["w"].shape == (2, 3, 2)


def test_remat_counts_static_arguments_without_the_module():
    class Switched(nn.Module):
        @nn.compact
        def __call__(self, x, doubled):
            return 2 * x if doubled else x

    rematted = partitioning.remat(Switched, static_argnums=1)
    assert rematted.__name__ == "Core_remat_staticSwitched"
    assert_exact(rematted().apply({}, X, True), 2 * X)
    assert_exact(nn.remat(Switched, static_argnums=(0, 2))().apply({}, X, True), 2 * X)

    lifted = partitioning.core_remat_static(
        lambda scope, x, doubled: 2 * x if doubled else x, static_argnums=1
    )
    assert_exact(core.apply(lifted)({}, X, True), 2 * X)
