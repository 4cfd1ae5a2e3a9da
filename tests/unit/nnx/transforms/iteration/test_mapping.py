"""vmap over modules: axes as prefixes, what is written back, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import nnx

GRAPH_WITH_UPDATES = {"graph": True, "graph_updates": True}
GRAPH = {"graph": True, "graph_updates": False}
TREE = {"graph": False}
MODES = pytest.mark.parametrize(
    "mode", [GRAPH_WITH_UPDATES, GRAPH, TREE], ids=["updates", "graph", "tree"]
)
ROW = np.arange(3.0, dtype=np.float32)


class Model(nnx.Module):
    def __init__(self, **values):
        for name, value in values.items():
            setattr(self, name, value)


def model(axis=0):
    w = np.stack([ROW, ROW + 3], axis=1 - axis)
    return Model(w=nnx.Param(jnp.asarray(w)), count=nnx.BatchStat(jnp.array(0)))


# --- values ---------------------------------------------------------------------------------------


@MODES
def test_values_along_the_axis_are_written_back_along_it(mode):
    its_model = Model(w=nnx.Param(jnp.asarray(np.stack([ROW, ROW + 3]))))  # 2, 3

    @nnx.vmap(in_axes=(1, 0), out_axes=1, **mode)
    def add(model, x):
        assert model.w.shape == (2,)
        model.w[...] += x
        return model.w * 2

    out = add(its_model, jnp.asarray(ROW))
    assert_exact(its_model.w[...], np.stack([ROW * 2, ROW * 2 + 3]))
    assert_exact(out, 2 * np.stack([ROW * 2, ROW * 2 + 3]))


@MODES
def test_a_model_that_is_the_same_for_all_may_get_one_new_value(mode):
    its_model = model()

    @nnx.vmap(in_axes=(None, 0), **mode)
    def count(model, x):
        model.count[...] += 1
        return x + model.count

    assert_exact(count(its_model, jnp.asarray(ROW)), ROW + 1)
    assert int(its_model.count[...]) == 1

    @nnx.vmap(in_axes=(None, 0), **mode)
    def differ(model, x):
        model.count.set_value(x)

    with pytest.raises(ValueError, match=r"at vmap, .*'count'.* got axis spec None but output was"):
        differ(its_model, jnp.asarray(ROW))


@MODES
def test_outputs_with_the_axis_none_are_the_same_for_all(mode):
    out = nnx.vmap(lambda x: (x, nnx.Param(jnp.ones(2))), out_axes=(0, None), **mode)(jnp.ones(3))
    assert (out[0].shape, out[1].shape) == ((3,), (2,))
    with pytest.raises(ValueError, match=r"at vmap, the value at \['w'\] of the output"):
        nnx.vmap(lambda x: Model(w=nnx.Param(x)), out_axes=None, **mode)(jnp.ones(3))
    with pytest.raises(ValueError, match="at vmap, the output got axis spec None"):
        nnx.vmap(lambda x: x, out_axes=None, **mode)(jnp.ones(3))


@MODES
def test_layers_are_created_and_run_side_by_side(mode):
    @nnx.split_rngs(splits=3)
    @nnx.vmap(**mode)
    def create(rngs):
        return nnx.Linear(2, 2, rngs=rngs)

    rngs = nnx.Rngs(0)
    layers = create(rngs)
    assert layers.kernel.shape == (3, 2, 2)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), 3)
    alone = nnx.Linear(2, 2, rngs=nnx.Rngs(keys[1]))
    assert_exact(layers.kernel[1], alone.kernel[...])
    out = nnx.vmap(lambda layer, x: layer(x), in_axes=(0, None), **mode)(layers, jnp.ones(2))
    assert_close(out[1], alone(jnp.ones(2)))


def test_a_method_and_the_constructor_can_be_decorated():
    class Stack(nnx.Module):
        @nnx.split_rngs(splits=3)
        @nnx.vmap
        def __init__(self, rngs):
            self.size = 2
            self.w = nnx.Param(jax.random.normal(rngs.params(), (2,)))

        @nnx.vmap(in_axes=(0, None))
        def __call__(self, x):
            assert self.w.shape == (2,)
            return x * self.w

    stack = Stack(nnx.Rngs(0))
    assert (stack.size, stack.w.shape) == (2, (3, 2))
    assert_exact(stack(jnp.ones(2)), stack.w[...])


# --- axes -----------------------------------------------------------------------------------------


def test_state_axes_give_axes_by_filter():
    axes = nnx.StateAxes({nnx.Param: 0, ...: None})
    its_model = model()

    @nnx.vmap(in_axes=(axes,), out_axes=axes)
    def run(model):
        model.count[...] += 2
        model.w[...] *= 2
        return Model(w=nnx.Param(model.w.sum()), kept=nnx.BatchStat(jnp.ones(4)))

    out = run(its_model)
    assert (out.w.shape, out.kept.shape) == ((3,), (4,))
    assert its_model.w.shape == (3, 2)
    assert int(its_model.count[...]) == 2
    with pytest.raises(ValueError, match=r"No axis found for path=.*'count'"):
        nnx.vmap(lambda model: None, in_axes=(nnx.StateAxes({nnx.Param: 0}),))(its_model)
    with pytest.raises(ValueError, match="cannot contain `StateAxes` objects"):
        nnx.vmap(lambda model: None, in_axes=axes, graph=False)


def test_state_axes_are_values_like_others():
    axes = nnx.StateAxes({nnx.Param: 0, ...: None})
    assert axes == nnx.StateAxes([(nnx.Param, 0), (..., None)]) != nnx.StateAxes({nnx.Param: 0})
    assert hash(axes) == hash(nnx.StateAxes({nnx.Param: 0, ...: None}))
    assert axes.axes == axes.values() == (0, None)
    assert axes.keys() == axes.filters == (nnx.Param, ...)
    assert dict(axes.items()) == {nnx.Param: 0, ...: None}
    assert (axes.get(nnx.Param), axes.get("other", 7)) == (0, 7)
    assert repr(axes) == "StateAxes({Param: 0, ...: None})"
    state = nnx.State({"a": {"b": 1}, "c": None})
    assert nnx.StateAxes(state).map_prefix(("a", "b"), None) == 1


@pytest.mark.parametrize("graph", [True, False])
def test_prefixes_made_for_a_model_work_too(graph):
    its_model = model()
    axes = nnx.prefix(its_model, {nnx.Param: 0, ...: None}, graph=graph)
    run = nnx.vmap(lambda m: m.w.sum(), in_axes=(axes,), graph=graph, graph_updates=False)
    assert_exact(run(its_model), np.float32([3, 5, 7]))


@MODES
def test_arguments_by_name_go_along_the_first_axis_or_where_a_tuple_says(mode):
    x = jnp.asarray(ROW)
    assert_exact(nnx.vmap(lambda a, *, b: a + b, **mode)(x, b=x), 2 * ROW)
    by_place = nnx.vmap(lambda a, b=2.0: a + b, in_axes=(0, None), **mode)
    assert_exact(by_place(x, b=np.float32(1)), ROW + 1)
    assert_exact(by_place(x), ROW + 2)
    with pytest.raises(TypeError, match=r"\['b'\] of a function under nnx.vmap"):
        nnx.vmap(lambda a, *, b: a + b, in_axes=(0, 0), **mode)(x, b=x)


def test_axis_names_sizes_and_trees():
    x = jnp.asarray(ROW)
    assert_exact(nnx.vmap(lambda x: jax.lax.psum(x, "i"), axis_name="i")(x), np.full(3, 3.0, "f"))
    assert nnx.vmap(lambda x: x, in_axes=None, axis_size=2)(x).shape == (2, 3)
    assert nnx.vmap(lambda: jnp.ones(2), axis_size=4)().shape == (4, 2)
    tree = {"a": x, "b": (x[None], 3.0)}
    out = nnx.vmap(
        lambda t: {"c": t["a"] * t["b"][1], "d": t["b"][0]},
        in_axes=[{"a": 0, "b": (-1, None)}],
        out_axes={"c": 0, "d": 1},
    )(tree)
    assert (out["c"].shape, out["d"].shape) == ((3,), (1, 3))


@pytest.mark.parametrize(
    ("arguments", "axes", "error", "message"),
    [
        ((ROW, ROW[:2]), 0, ValueError, r"sizes:\n.* args\[0\].*: 3\n.* args\[1\].*: 2"),
        ((np.float32(1),), 0, ValueError, r"axis 0 of the value at args\[0\].*shape \(\)"),
        ((Model(w=nnx.Param(1.0)),), 0, ValueError, r"args\[0\]\['w'\]"),
        ((ROW,), (0, 0), ValueError, "got 1 arguments, but in_axes=.* has 2 entries"),
        ((ROW, ROW), (0,), ValueError, "got 2 arguments"),
        ((ROW,), None, ValueError, "must have at least one non-None value in in_axes or axis_size"),
        (({"a": ROW},), ({"b": 0},), ValueError, "`in_axes` does not fit"),
        ((ROW,), ("x",), TypeError, r"vmap in_axes must be an int, None, or a tuple"),
        ((ROW,), (nnx.Carry,), TypeError, "vmap in_axes"),
    ],
)
def test_axes_that_do_not_fit_are_refused(arguments, axes, error, message):
    with pytest.raises(error, match=message):
        nnx.vmap(lambda *args: None, in_axes=axes)(*arguments)


def test_more_that_does_not_fit():
    with pytest.raises(ValueError, match="axis_size=2, but the axes in `in_axes` have size 3"):
        nnx.vmap(lambda x: x, axis_size=2)(ROW)
    with pytest.raises(ValueError, match="`out_axes` does not fit"):
        nnx.vmap(lambda x: (x, x), out_axes=(0,))(ROW)
    with pytest.raises(ValueError, match="bound methods"):
        nnx.vmap(nnx.Linear(2, 2, rngs=nnx.Rngs(0)).__call__)
    with pytest.raises(ValueError, match="Variables prefixes are not supported"):
        nnx.vmap(lambda x: x, in_axes=(nnx.Param(0),), graph=False)


# --- structure and sharing ------------------------------------------------------------------------


def test_structure_changes_reach_the_caller_in_graph_mode_with_updates():
    its_model = Model(w=nnx.Param(jnp.asarray(ROW)), old=nnx.Param(jnp.ones(3)), raw=jnp.ones(3))

    def change(model):
        model.new = nnx.Intermediate(model.w * 2)
        model.raw = model.raw + model.w
        model.size = 7
        del model.old
        return model

    assert nnx.vmap(change, **GRAPH_WITH_UPDATES)(its_model) is its_model
    assert_exact(its_model.new[...], ROW * 2)
    assert_exact(its_model.raw, ROW + 1)
    assert its_model.size == 7
    assert not hasattr(its_model, "old")
    with pytest.raises(ValueError, match=r"Duplicate Intermediate[^$]*args\[0\].new[^$]*out.new"):
        nnx.vmap(lambda model: model, **GRAPH)(its_model)


def test_sharing_needs_one_axis():
    shared = Model(w=nnx.Param(jnp.ones((3, 3))))

    def look(a, b):
        assert a.w is b.w

    nnx.vmap(look, **GRAPH)(shared, shared)
    nnx.vmap(look, in_axes=(0, nnx.StateAxes({nnx.Param: 0})), **GRAPH_WITH_UPDATES)(shared, shared)
    for mode in (GRAPH_WITH_UPDATES, GRAPH):
        with pytest.raises(ValueError, match=r"Inconsistent aliasing[^$]*w: 0\n[^$]*w: 1"):
            nnx.vmap(look, in_axes=(0, 1), **mode)(shared, shared)
    with pytest.raises(ValueError, match="Duplicate Param"):
        nnx.vmap(look, **TREE)(shared, shared)
    with pytest.raises(ValueError, match="Inconsistent aliasing"):
        nnx.vmap(lambda a: a, out_axes=1, **GRAPH_WITH_UPDATES)(shared)


def test_what_was_not_passed_in_cannot_come_out():
    captured = Model(w=nnx.Param(jnp.ones(2)))
    with pytest.raises(ValueError, match="Cannot extract graph node from different trace level"):
        nnx.vmap(lambda x: captured, **GRAPH_WITH_UPDATES)(ROW)
    with pytest.raises(ValueError, match="Cannot return captured Variable"):
        nnx.vmap(lambda x: captured, **TREE)(ROW)
