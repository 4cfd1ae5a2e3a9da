"""Names of axes that come and go: transform_metadata, as a decorator and as a parameter."""

import jax
import jax.numpy as jnp
import pytest

from ramie import nnx

LAYERS = {nnx.PARTITION_NAME: "layers", "nicknames": "deep"}


def param(shape, *names, **metadata):
    return nnx.Param(jnp.ones(shape), out_sharding=names, eager_sharding=False, **metadata)


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("name", ["layers", None])
def test_the_decorator_hides_a_name_while_the_function_runs(graph, name):
    outer = param((3, 2), name, "in")

    @nnx.transform_metadata(in_axes=(0, None), out_axes=1, partition=name, graph=graph)
    def run(w, same):
        assert w.out_sharding == ("in",)
        assert same.out_sharding == ("in",)
        return param((3, 2), "a", "b")

    same = param(2, "in")
    assert run(outer, same).out_sharding == ("a", name, "b")
    assert outer.out_sharding == (name, "in")
    assert same.out_sharding == ("in",)


def test_the_decorator_gives_names_back_after_an_error():
    outer = param((3, 2), "layers", "in")
    with pytest.raises(ZeroDivisionError):
        nnx.transform_metadata(lambda w: 1 / 0, partition="layers")(outer)
    assert outer.out_sharding == ("layers", "in")
    with pytest.raises(ValueError, match="Expected to remove 'other' at index 0"):
        nnx.transform_metadata(lambda w: None, partition="other")(outer)
    assert outer.out_sharding == ("layers", "in")


def test_the_decorator_wants_one_axis_for_a_variable():
    outer = param((3, 2), "layers", "in")
    assert nnx.transform_metadata(lambda w: w, partition="layers")(outer) is outer
    assert outer.out_sharding == ("layers", "in")
    with pytest.raises(ValueError, match="Inconsistent aliasing"):
        nnx.transform_metadata(lambda w: w, out_axes=1, partition="layers")(outer)
    with pytest.raises(ValueError, match="Inconsistent aliasing"):
        nnx.transform_metadata(lambda a, b: None, in_axes=(0, None), partition="layers")(
            outer, outer
        )


@pytest.mark.parametrize("graph", [True, False])
def test_between_scan_and_its_function(graph):
    @nnx.vmap(axis_size=3, in_axes=None, graph=graph, graph_updates=False)
    @nnx.transform_metadata(in_axes=None, partition="layers", graph=graph)
    def create(shape):
        return nnx.Dict(w=param(2, "in"))

    stack = create(2)
    assert (stack.w.shape, stack.w.out_sharding) == ((3, 2), ("layers", "in"))

    @nnx.scan(in_axes=(0, nnx.Carry), out_axes=nnx.Carry, graph=graph, graph_updates=False)
    @nnx.transform_metadata(
        in_axes=(0, nnx.Carry), out_axes=nnx.Carry, partition="layers", graph=graph
    )
    def run(layer, x):
        assert (layer.w.shape, layer.w.out_sharding) == ((2,), ("in",))
        return x * layer.w

    run(stack, jnp.ones(2))
    assert (stack.w.shape, stack.w.out_sharding) == ((3, 2), ("layers", "in"))


@pytest.mark.parametrize("mode", [{}, {"graph_updates": False}, {"graph": False}])
def test_the_parameter_does_the_same(mode):
    heard = []

    class Told(nnx.Param):
        def on_add_axis(self, index, name):
            heard.append(("add", index, name))

        def on_remove_axis(self, index, name):
            heard.append(("remove", index, name))

    @nnx.vmap(axis_size=3, in_axes=None, out_axes=1, transform_metadata=LAYERS, **mode)
    def create(size):
        return nnx.Dict(
            w=param(2, "in", nicknames=("i",)), told=Told(jnp.ones(2)), same=jnp.ones(2)
        )

    stack = create(2)
    assert (stack.w.shape, stack.w.out_sharding) == ((2, 3), ("in", "layers"))
    assert stack.w.nicknames == ("i", "deep")
    assert heard == [("add", 1, "layers")]

    @nnx.scan(in_axes=(nnx.Carry, 1, None), transform_metadata=LAYERS, **mode)
    def run(x, layer, other):
        assert (layer.w.out_sharding, layer.w.nicknames) == (("in",), ("i",))
        assert other.out_sharding == ("in",)
        return x, param(2, "b")

    other = param(2, "in")
    _, made = run(jnp.ones(2), stack, other)
    assert (made.shape, made.out_sharding) == ((3, 2), ("layers", "b"))
    assert stack.w.out_sharding == ("in", "layers")
    assert other.out_sharding == ("in",)
    assert heard == [("add", 1, "layers"), ("remove", 1, "layers"), ("add", 1, "layers")]


def test_new_attributes_and_returned_arguments_are_told_once():
    class Layer(nnx.Module):
        def __init__(self):
            self.w = param((3, 2), "layers", "in")

    @nnx.vmap(transform_metadata={nnx.PARTITION_NAME: "layers"})
    def grow(layer):
        layer.new = param(2, "out")
        return layer

    layer = Layer()
    assert grow(layer) is layer
    assert layer.w.out_sharding == ("layers", "in")
    assert layer.new.out_sharding == ("layers", "out")


def test_new_variables_are_placed_on_a_mesh_before_they_are_stacked():
    kinds = (jax.sharding.AxisType.Auto,) * 2
    mesh = jax.make_mesh((2, 2), ("layers", "in"), axis_types=kinds)

    @nnx.split_rngs(splits=2)
    @nnx.vmap(transform_metadata={nnx.PARTITION_NAME: "layers"})
    def create(rngs):
        return nnx.Param(rngs.normal((4,)), out_sharding=("in",))

    with jax.set_mesh(mesh):
        stack = jax.jit(lambda: nnx.split(create(nnx.Rngs(0)))[1])()
    assert stack.out_sharding == ("layers", "in")
    assert stack[...].sharding.spec[-1] == "in"
