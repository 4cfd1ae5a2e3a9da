"""scan over modules: what is sliced, carried and the same, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import errors, nnx
from ramie.core.tracing.trace import has_boxes

GRAPH_WITH_UPDATES = {"graph": True, "graph_updates": True}
GRAPH = {"graph": True, "graph_updates": False}
TREE = {"graph": False}
MODES = pytest.mark.parametrize(
    "mode", [GRAPH_WITH_UPDATES, GRAPH, TREE], ids=["updates", "graph", "tree"]
)
WITHOUT_UPDATES = pytest.mark.parametrize("mode", [GRAPH, TREE], ids=["graph", "tree"])
XS = np.float32([1, 2, 4])
ZERO = np.float32(0)
Carry = nnx.Carry


class Model(nnx.Module):
    def __init__(self, **values):
        for name, value in values.items():
            setattr(self, name, value)


def param(value):
    return nnx.Param(jnp.asarray(value))


# --- values ---------------------------------------------------------------------------------------


@MODES
def test_slices_carry_and_the_same(mode):
    layers = Model(w=param(np.stack([XS, XS * 10], axis=1)), seen=nnx.BatchStat(jnp.zeros(3)))

    @nnx.scan(in_axes=(0, Carry, None), out_axes=(1, Carry), **mode)
    def run(layer, x, scale):
        assert layer.w.shape == (2,)
        layer.seen[...] += x.sum()
        x = x + layer.w * scale
        return x, x

    ys, last = run(layers, jnp.zeros(2), 2.0)
    sums = 2 * np.cumsum(XS)
    assert_exact(last, np.float32([sums[-1], 10 * sums[-1]]))
    assert_exact(ys, np.stack([sums, 10 * sums]))
    assert_exact(layers.seen[...], np.float32([0, *(11 * sums[:-1])]))


@MODES
def test_a_carried_model_keeps_its_identity(mode):
    counter = Model(n=nnx.BatchStat(jnp.array(0)), w=param(2.0))

    @nnx.scan(length=3, in_axes=(Carry,), **mode)
    def run(model):
        model.n[...] += 1
        return model, model.n * model.w

    out, ys = run(counter)
    assert out.n is counter.n
    assert (out is counter) == (mode == GRAPH_WITH_UPDATES)
    assert int(counter.n[...]) == 3
    assert_exact(ys, np.float32([2, 4, 6]))


@MODES
def test_arrays_that_are_attributes_are_carried(mode):
    model = Model(n=jnp.array(0), k=nnx.Param(jnp.array(1)))

    @nnx.scan(length=3, in_axes=Carry, out_axes=Carry, **mode)
    def run(model):
        model.n = model.n + model.k
        return model

    out = run(model)
    assert int(out.n) == 3
    assert int(model.n) == (3 if mode == GRAPH_WITH_UPDATES else 0)


@MODES
def test_layers_are_created_and_run_one_after_the_other(mode):
    @nnx.split_rngs(splits=3)
    @nnx.scan(in_axes=0, out_axes=0, **mode)
    def create(rngs):
        return nnx.Linear(2, 2, rngs=rngs)

    layers = create(nnx.Rngs(0))

    @nnx.scan(in_axes=(Carry, 0), out_axes=Carry, **mode)
    def forward(x, layer):
        return layer(x)

    x = np.ones(2, np.float32)
    out = forward(jnp.asarray(x), layers)
    for kernel in np.asarray(layers.kernel[...]):
        x = x @ kernel
    assert_close(out, x)


def test_changes_to_what_is_the_same_are_forgotten_with_updates_and_carried_without():
    def run(model, x):
        model.n[...] += x
        return model.n[...]

    for mode, last, ys in (
        (GRAPH_WITH_UPDATES, 1, XS + 1),
        (GRAPH, 8, 1 + np.cumsum(XS)),
        (TREE, 8, 1 + np.cumsum(XS)),
    ):
        model = Model(n=nnx.BatchStat(jnp.array(1.0)))
        out = nnx.scan(run, in_axes=(None, 0), out_axes=0, **mode)(model, XS)
        assert_exact(out, ys)
        assert int(model.n[...]) == last


def test_state_axes_slice_carry_and_keep():
    model = Model(w=param(XS), n=nnx.BatchStat(jnp.array(0.0)), same=nnx.Cache(jnp.array(2.0)))
    axes = nnx.StateAxes({nnx.Param: 0, nnx.BatchStat: Carry, nnx.Intermediate: 0, ...: None})

    @nnx.scan(in_axes=(axes, Carry), out_axes=Carry)
    def run(model, x):
        model.n[...] += model.w
        model.same[...] += 1
        model.trace = nnx.Intermediate(model.n * model.same)
        return x + model.n

    assert float(run(model, jnp.array(0.0))) == 11
    assert float(model.n[...]) == 7
    assert float(model.same[...]) == 2
    assert_exact(model.trace[...], 3 * np.cumsum(XS))


@MODES
@pytest.mark.parametrize("cell", ["ref", "hijax"])
def test_cells_are_shared_by_all_iterations(mode, cell):
    carried, same = (nnx.Param(jnp.array(0.0), **{cell: True}) for _ in range(2))

    @nnx.scan(in_axes=(Carry, None, 0), **mode)
    def run(carried, same, x):
        carried[...] += x
        same[...] += 2 * x
        return carried, same[...]

    if cell == "hijax" and not has_boxes():
        with pytest.raises(errors.ImmutableVariableError, match="ref=True"):
            run(carried, same, XS)
        read = nnx.scan(lambda c, v, x: (c, v + x), in_axes=(Carry, None, 0), **mode)
        out, ys = read(carried, same, XS)
        assert_exact(ys, XS)
        assert float(out[...]) == 0
        return
    out, ys = run(carried, same, XS)
    assert out is carried
    assert (float(carried[...]), float(same[...])) == (7, 14)
    assert_exact(ys, 2 * np.cumsum(XS))
    with pytest.raises(ValueError, match="replaced 1 variables with ref=True"):
        nnx.scan(lambda c: nnx.Param(0.0, **{cell: True}), in_axes=Carry, out_axes=Carry, length=2)(
            carried
        )


def test_a_method_can_be_decorated_and_random_streams_go_along():
    axes = nnx.StateAxes({(nnx.Param, nnx.RngState): 0, ...: None})

    class Stack(nnx.Module):
        @nnx.split_rngs(splits=3)
        @nnx.vmap(in_axes=(axes, axes))
        def __init__(self, rngs):
            self.w = nnx.Param(rngs.params.normal((2,)))
            self.rngs = rngs.noise.fork()

        @nnx.scan(in_axes=(axes, Carry))
        def __call__(self, x):
            noise = self.rngs.normal((2,))
            return x + self.w, noise

    stack = Stack(nnx.Rngs(params=0, noise=1))
    x, noise = stack(jnp.zeros(2))
    assert_close(x, np.asarray(stack.w[...]).sum(0))
    assert len({float(one[0]) for one in noise}) == 3
    assert_exact(stack.rngs.count[...], np.uint32([1, 1, 1]))


# --- parameters -----------------------------------------------------------------------------------


@MODES
def test_lengths_directions_and_unrolling(mode):
    def add(c, x):
        return c + x, c

    c, ys = nnx.scan(add, reverse=True, unroll=2, **mode)(ZERO, XS)
    assert_exact(c, np.float32(7))
    assert_exact(ys, np.float32([6, 4, 0]))
    ys = nnx.scan(lambda: jnp.ones(2), in_axes=(), out_axes=-1, length=3, **mode)()
    assert ys.shape == (2, 3)
    c, ys = nnx.scan(add, unroll=True, **mode)(ZERO, np.zeros((0,), np.float32))
    assert ys.shape == (0,)


@MODES
def test_arguments_by_name_and_defaults_have_places_in_in_axes(mode):
    run = nnx.scan(lambda c, x, k=2.0: (c + k * x, None), in_axes=(Carry, 0, None), **mode)
    assert float(run(ZERO, XS)[0]) == 14
    assert float(run(x=XS, c=ZERO, k=1.0)[0]) == 7
    with pytest.raises(TypeError, match=r"\['k'\] of a function under nnx.scan"):
        nnx.scan(lambda c, x, *, k: (c, x), **mode)(ZERO, XS, k=1)


@MODES
def test_trees_of_axes(mode):
    xs = {"a": XS, "b": np.float32(1), "c": None, "d": np.stack([XS, XS])}

    def add(c, x):
        assert (x["d"].shape, x["c"]) == ((2,), None)
        c = {"n": c["n"] + x["a"] + x["b"]}
        return c, {"x": c["n"], "y": x["d"]}

    c, ys = nnx.scan(
        add,
        in_axes=(Carry, {"a": 0, "b": None, "c": 0, "d": -1}),
        out_axes=(Carry, {"x": 0, "y": 1}),
        **mode,
    )({"n": ZERO}, xs)
    assert float(c["n"]) == 10
    assert_exact(ys["x"], np.float32([2, 5, 10]))
    assert_exact(ys["y"], xs["d"])


@MODES
def test_the_function_is_traced_once_for_equal_calls(mode):
    traced = []
    layers = Model(w=param(XS))

    @nnx.scan(in_axes=(Carry, 0), **mode)
    def run(c, layer):
        traced.append(layer)
        return c + layer.w, None

    for _ in range(2):
        assert float(run(jnp.array(0.0), layers)[0]) == 7
    assert len(traced) == 1
    other = Model(w=param(XS), kind="another structure")
    run(jnp.array(0.0), other)
    assert len(traced) == 2


def test_it_differentiates():
    layers = Model(w=param(XS))

    @nnx.scan(in_axes=(Carry, 0), out_axes=Carry, graph=False)
    def run(x, layer):
        return x * layer.w

    graphdef, state = nnx.split(layers)
    slope = jax.grad(lambda state: run(jnp.array(1.0), nnx.merge(graphdef, state)))(state)
    assert_close(slope.w[...], np.float32([8, 4, 2]))


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_axes", "out_axes", "message"),
    [
        ((Carry, Carry), (Carry, 0), "Found multiple Carry definitions in in_axes"),
        ((Carry, 0), (Carry, Carry), "Found multiple Carry definitions in out_axes"),
        ((Carry, 0), 0, "If one of in_axes or out_axes has Carry, the other must also have Carry"),
        (0, (Carry, 0), "If one of in_axes or out_axes has Carry, the other must also have Carry"),
        ((Carry, {"a": Carry}), (Carry, 0), r"Found Carry inside in_axes at path \[1\]\['a'\]"),
        ((Carry, 0), ({"a": Carry},), r"Found Carry inside out_axes at path \[0\]\['a'\]"),
        (0, {"a": None}, r"Cannot broadcast output state. Got out_axes=None at: out_axes\['a'\]"),
        (0, nnx.StateAxes({...: None}), "Cannot broadcast output state. Got StateAxes"),
        (0, nnx.StateAxes({...: Carry}), "Carry must be a top-level output"),
        ((Carry, "x"), (Carry, 0), r"Invalid axes 'x' at in_axes\[1\]"),
    ],
)
def test_axes_that_make_no_sense(in_axes, out_axes, message):
    with pytest.raises(ValueError, match=message):
        nnx.scan(lambda *args: args, in_axes=in_axes, out_axes=out_axes)


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        (
            {"in_axes": Carry, "out_axes": Carry},
            (ZERO, XS),
            "must take exactly one argument, got 2",
        ),
        ({"in_axes": Carry, "out_axes": Carry}, (ZERO,), "`length` not provided"),
        ({"length": 4}, (ZERO, XS), "`length` argument of 4 which disagrees with the size 3"),
        ({"in_axes": (Carry, 1)}, (ZERO, XS), r"axis 1 of the value at args\[1\].*shape \(3,\)"),
        ({}, (ZERO, [XS, XS[1:]]), r"args\[1\]\[0\].*: 3\n.*args\[1\]\[1\].*: 2"),
        ({}, (ZERO, XS, XS), "nnx.scan got 3 arguments, but in_axes=.* has 2 entries"),
        ({"in_axes": (Carry, {"a": 0})}, (ZERO, XS), "`in_axes` does not fit"),
        ({}, (ZERO, {"one": XS}), "returned a tuple of 1"),
        ({"out_axes": (Carry, {"a": 0})}, (ZERO, XS), "`out_axes` does not fit"),
    ],
)
@MODES
def test_arguments_and_outputs_that_do_not_fit(options, arguments, message, mode):
    def run(*args):
        return (args[0],) if isinstance(args[-1], dict) else (args[0], args[-1])

    with pytest.raises(ValueError, match=message):
        nnx.scan(run, **options, **mode)(*arguments)


def test_bound_methods_are_refused():
    with pytest.raises(ValueError, match="bound methods"):
        nnx.scan(nnx.Linear(2, 2, rngs=nnx.Rngs(0)).__call__)


@MODES
def test_what_is_carried_keeps_variables_and_structure(mode):
    identity = (
        "Carry references must be the same between iterations"
        if mode == GRAPH_WITH_UPDATES
        else "scan Variable identity must be preserved across iterations"
    )

    def pair():
        return [Model(w=param(1.0)), Model(w=param(2.0))]

    for change in (lambda c: [Model(w=nnx.Param(c[0].w + 1)), c[1]], lambda c: c[::-1]):
        with pytest.raises(ValueError, match=identity):
            nnx.scan(change, in_axes=Carry, out_axes=Carry, length=2, **mode)(pair())
    for change in (
        lambda c: setattr(c[0], "new", nnx.Param(c[0].w + 1)) or c,
        lambda c: (*c, jnp.array(1.0)),
    ):
        with pytest.raises(TypeError, match="must have the same pytree structure"):
            nnx.scan(change, in_axes=Carry, out_axes=Carry, length=2, **mode)(pair())


def test_with_updates_a_carried_model_may_get_other_variables():
    @nnx.scan(length=2, in_axes=Carry, out_axes=Carry)
    def run(model):
        model.a, model.b = model.b, model.a
        model.c = nnx.Param(model.c + model.a)
        return model

    model = Model(a=param(1.0), b=param(2.0), c=param(0.0))
    assert run(model) is model
    assert [float(x[...]) for x in (model.a, model.b, model.c)] == [1, 2, 3]


@WITHOUT_UPDATES
def test_variables_that_are_carried_stay_where_they_are(mode):
    def swap(model):
        model.a, model.b = model.b, model.a
        return model

    with pytest.raises(ValueError, match="scan Variable identity must be preserved"):
        nnx.scan(swap, length=2, in_axes=Carry, out_axes=Carry, **mode)(
            Model(a=param(1.0), b=param(2.0))
        )


@WITHOUT_UPDATES
def test_static_attributes_of_what_is_carried_keep_their_values(mode):
    with pytest.raises(TypeError, match=r"statics=\(1,\).* came in, and .*statics=\(2,\)"):
        nnx.scan(
            lambda c: setattr(c, "k", 2) or c, in_axes=Carry, out_axes=Carry, length=2, **mode
        )(Model(w=param(1.0), k=1))


def test_new_variables_need_an_axis():
    def grow(model, x):
        model.new = nnx.Intermediate(x)
        return x

    model = Model(w=param(1.0))
    with pytest.raises(ValueError, match=r"made new variables, or replaced arrays.*axis None"):
        nnx.scan(grow, in_axes=(None, 0), out_axes=0)(model, XS)
    nnx.scan(grow, in_axes=(nnx.StateAxes({nnx.Intermediate: 0, ...: None}), 0), out_axes=0)(
        model, XS
    )
    assert_exact(model.new[...], XS)


def test_sharing_needs_one_axis():
    shared = param(XS)

    def look(c, x):
        return c, x[...]

    for mode in (GRAPH_WITH_UPDATES, GRAPH):
        with pytest.raises(ValueError, match="Inconsistent aliasing"):
            nnx.scan(look, **mode)(shared, shared)
    with pytest.raises(ValueError, match="does not support Variable aliasing"):
        nnx.scan(lambda x: x, in_axes=0, out_axes=0, **GRAPH)(shared)
    assert nnx.scan(lambda x: x, in_axes=0, out_axes=0, **GRAPH_WITH_UPDATES)(shared) is shared
    with pytest.raises(ValueError, match="Inconsistent aliasing"):
        nnx.scan(lambda c, x: (c, c), **GRAPH_WITH_UPDATES)(shared, XS)


@pytest.mark.parametrize("graph", [True, False])
def test_what_is_carried_keeps_its_containers(graph):
    def renamed(carry):
        return {"b": carry["a"]}

    scanned = nnx.scan(
        renamed, in_axes=nnx.Carry, out_axes=nnx.Carry, length=2, graph=graph, graph_updates=graph
    )
    with pytest.raises(TypeError, match=r"\{'a': \*\}\) came in, and .*\{'b': \*\}\) went out"):
        scanned({"a": jnp.ones(2)})
