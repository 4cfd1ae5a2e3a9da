"""nnx.jit and its relatives: what reaches the caller, what is traced again, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import errors, nnx

MODES = [(True, True), (True, False), (False, False)]


class Count(nnx.Module):
    """Counts, and has an array and a number beside."""

    def __init__(self):
        self.n = nnx.Variable(jnp.array(0))
        self.label = "a"

    @nnx.jit
    def up(self, by):
        self.n[...] += by
        return self.n[...]


@pytest.mark.parametrize(("graph", "updates"), MODES)
def test_values_reach_the_caller_and_nothing_is_traced_twice(graph, updates):
    traces = []

    @nnx.jit(graph=graph, graph_updates=updates)
    def step(model, x):
        traces.append(1)
        model.n[...] += x
        return {"twice": model.n * 2, "new": nnx.Param(x)}

    model = Count()
    variable = model.n
    out = [step(model, 3), step(model, 3)][-1]
    assert len(traces) == 1 and model.n is variable
    assert_exact(model.n[...], jnp.array(6))
    assert_exact(out["twice"], jnp.array(12))
    assert isinstance(out["new"], nnx.Param)


def test_structure_reaches_the_caller():
    @nnx.jit(graph=True, graph_updates=True)
    def step(model, other):
        model.other, other.model = other, model
        model.n, model.old = nnx.Param(model.n[...] + 1), model.n
        model.label = "b"
        del other.label
        return other, model.old

    model, other = Count(), Count()
    old = model.n
    returned, returned_old = step(model, other)
    assert returned is other is model.other and other.model is model
    assert returned_old is old is model.old and isinstance(model.n, nnx.Param)
    assert model.label == "b" and not hasattr(other, "label")
    assert_exact(model.n[...], jnp.array(1))


def test_structure_stays_where_updates_are_off():
    @nnx.jit(graph=True, graph_updates=False)
    def step(model):
        model.label = "b"
        model.n.set_metadata(note=1)

    model = Count()
    step(model)
    assert model.label == "a" and model.n.note == 1


def test_what_is_shared_stays_shared():
    variable = nnx.Variable(jnp.array(1))

    @nnx.jit(graph=True, graph_updates=False)
    def step(a, b, c):
        assert a is b[0] and c.n is a
        a[...] += 1
        return a[...] + c.n[...]

    holder = Count()
    holder.n = variable
    assert_exact(step(variable, [variable], holder), jnp.array(4))


def test_arrays_and_references_as_attributes():
    @nnx.jit(graph=True, graph_updates=True)
    def step(model, reference):
        model.a += 1
        reference[...] += 1.0
        return jax.new_ref(reference[...] * 2), reference

    model, reference = nnx.Dict(a=jnp.array(1), b=jnp.array(5)), jax.new_ref(jnp.array(1.0))
    kept = model.b
    new, same = step(model, reference)
    assert_exact(model.a, jnp.array(2))
    assert model.b is kept and same is reference
    assert_exact(new[...], jnp.array(4.0))


def test_values_that_are_containers():
    @nnx.jit
    def step(variable):
        variable.get_value()["a"] += 1

    variable = nnx.Variable({"a": jnp.array(1), "b": jnp.array(2)})
    step(variable)
    assert_exact(variable.get_value()["a"], jnp.array(2))


@pytest.mark.parametrize("how", [{"static_argnums": 1}, {"static_argnames": "times"}])
def test_static_arguments(how):
    traces = []

    @nnx.jit(**how)
    def step(model, times):
        traces.append(times)
        model.n[...] += times

    model = Count()
    step(model, 2)
    step(model, times=2)
    step(model, 2)
    step(model, True)
    assert traces[0] == 2 and type(traces[-1]) is bool and len(traces) <= 3
    assert_exact(model.n[...], jnp.array(7))
    with pytest.raises(ValueError, match="without a hash"):
        step(model, [1])


@pytest.mark.parametrize("how", [{"donate_argnums": 0}, {"donate_argnames": "model"}])
def test_donated_models_live_on(how):
    @nnx.jit(**how)
    def step(model, other):
        other.n[...] += 1

    model, other = nnx.Dict(v=nnx.Param(jnp.ones(3)), w=jnp.ones(2)), Count()
    before = model.v[...]
    step(model, other)
    step(model, other=other)
    assert before.is_deleted()
    assert_exact(model.v[...], jnp.ones(3))
    assert_exact(model.w, jnp.ones(2))
    assert_exact(other.n[...], jnp.array(2))


def test_shardings_of_arguments_and_output():
    mesh = jax.make_mesh((1,), ("x",))
    sharding = jax.NamedSharding(mesh, jax.P("x"))
    by_filter = nnx.StateSharding({nnx.PathContains("n"): None, ...: sharding})
    model = nnx.Dict(n=nnx.Param(jnp.ones(2)), k=nnx.Param(jnp.ones(2)))

    @nnx.jit(in_shardings=(by_filter, None), out_shardings=sharding)
    def step(model, x):
        return x

    assert isinstance(step(model, jnp.ones(2)).sharding, jax.NamedSharding)
    assert isinstance(model.k[...].sharding, jax.NamedSharding)
    assert by_filter.filters[1] is ... and by_filter.shardings == (None, sharding)
    with pytest.raises(ValueError, match="does not fit"):
        nnx.jit(lambda x: x, in_shardings=(sharding, {"a": None}))(1, 2)


def test_stages():
    model = Count()
    step = nnx.jit(lambda model, x: (model.n.set_value(model.n + x), model)[1])
    compiled = step.lower(model, 1).compile()
    assert compiled(model, 2) is model and "HloModule" in compiled.as_text()
    assert_exact(model.n[...], jnp.array(2))
    assert step.trace(model, 1).lower().compile()(model, 1) is model
    shapes = step.eval_shape(model, 1)
    assert shapes is not model and shapes.n.get_raw_value().shape == ()
    assert_exact(model.n[...], jnp.array(3))
    step.clear_cache()
    with pytest.raises(AttributeError, match="no_such"):
        _ = compiled.no_such


def test_methods():
    model = Count()
    model.up(2)
    assert_exact(Count.up(model, by=1), jnp.array(3))
    with pytest.raises(ValueError, match="bound methods"):
        nnx.jit(model.__init__)


def test_partial():
    model = Count()
    step = nnx.jit_partial(lambda model, x: model.n.set_value(model.n + x), model)
    step(1)
    step(2)
    assert_exact(model.n[...], jnp.array(3))
    with pytest.raises(ValueError, match="Duplicate Variable"):
        nnx.jit_partial(lambda a, b: None, model, model, graph=False)

    @nnx.jit(graph=True, graph_updates=True)
    def both(cached, model):
        assert cached is not model and cached.n is model.n
        return cached

    cached = nnx.cached_partial(both, model)
    assert cached(model) is cached(model) is not model


def test_a_cached_argument_keeps_its_structure():
    @nnx.jit
    def grow(model, x):
        model["more"] = nnx.Param(x)

    cached = nnx.cached_partial(grow, nnx.Dict(a=nnx.Param(jnp.ones(2))))
    with pytest.raises(ValueError, match="argument 0, a Dict"):
        cached(jnp.ones(1))


@pytest.mark.parametrize(("graph", "updates"), MODES[1:])
def test_aliases_are_refused_where_they_are_not_kept(graph, updates):
    modes = {"graph": graph, "graph_updates": updates}
    model = Count()
    with pytest.raises(ValueError, match="does not support Variable aliasing"):
        nnx.jit(lambda model: model.n, **modes)(model)
    if not graph:
        with pytest.raises(ValueError, match=r"found at paths:\n\n  - args\[0\].n\n  - args\[1\]"):
            nnx.jit(lambda a, b: None, **modes)(model, model.n)


def test_values_that_are_no_arrays():
    step = nnx.jit(lambda model, **kwargs: None)
    with pytest.raises(
        TypeError, match=r"of type str at kwargs\['how'\]\['x'\], which is no array"
    ):
        step(Count(), how={"x": "fast"})
    with pytest.raises(TypeError, match=r"of type str at args\[0\]\['name'\]"):
        step(nnx.Dict(name=nnx.data("a")))


def test_what_belongs_elsewhere():
    outer = nnx.Variable(jnp.array(1))
    with pytest.raises(errors.TraceContextError):
        nnx.jit(lambda x: outer.set_value(x))(1)
    with pytest.raises(ValueError, match="Cannot extract graph node from different trace level"):
        nnx.jit(lambda x: outer, graph=True, graph_updates=True)(1)
    with pytest.raises(ValueError, match="Cannot return captured Variable"):
        nnx.jit(lambda x: outer, graph=True, graph_updates=False)(1)

    @jax.jit
    def inner(x):
        nnx.jit(lambda variable: variable.set_value(x))(outer)

    with pytest.raises(errors.TraceContextError):
        inner(1)


class Closed(nnx.Pytree, pytree=False):
    """No pytree."""


def test_classes_that_are_no_pytrees():
    assert nnx.jit(lambda x: 1)(Closed()) == 1
    with pytest.raises(ValueError, match="pytree=False"):
        nnx.jit(lambda x: 1, graph=False)(Closed())


def test_prefixes_that_cannot_be():
    by_filter = nnx.StateSharding({...: None})
    with pytest.raises(ValueError, match="cannot contain `StateSharding` objects"):
        nnx.jit(lambda x: x, in_shardings=by_filter, graph=False)
    with pytest.raises(ValueError, match="Graph nodes are not allowed as prefixes"):
        nnx.jit(lambda x: x, in_shardings=Count(), graph=True)
    with pytest.raises(ValueError, match="Variables prefixes are not supported"):
        nnx.jit(lambda x: x, in_shardings=(nnx.Variable(1),), graph=False)
    with pytest.raises(ValueError, match="No sharding found"):
        some = nnx.StateSharding({nnx.Param: None})
        nnx.jit(lambda x: x, in_shardings=(some,))(Count())
    first, other = (jax.NamedSharding(jax.make_mesh((1,), (x,)), jax.P(x)) for x in "xy")
    model = nnx.Dict(v=nnx.Param(jnp.ones(1)))
    with pytest.raises(ValueError, match=r"Inconsistent aliasing detected[\s\S]*Param[\s\S]*v: "):
        nnx.jit(lambda a, b: None, in_shardings=(first, other))(model, model)
    with pytest.raises(ValueError, match="Inconsistent aliasing detected"):
        nnx.jit(lambda a: a, in_shardings=(first,), out_shardings=other)(model)


@pytest.mark.parametrize(("graph", "updates"), MODES)
def test_arrays_of_numpy_in_variables_move_to_the_device_once(graph, updates):
    given = np.arange(6, dtype=np.float64).reshape(2, 3)
    model = nnx.Dict(w=nnx.Param(given), b=nnx.Param(jnp.ones(3)), n=nnx.Variable(3))
    alone = nnx.Param(given)
    read = nnx.jit(lambda m, v, x: x @ (m.w[...] + v[...]), graph=graph, graph_updates=updates)
    first = read(model, alone, jnp.ones(2))
    held = model.w[...], alone[...]
    for value in held:
        assert isinstance(value, jax.Array) and value.dtype == jnp.float32
        assert_exact(value, given.astype(np.float32))
    given[...] = 0  # the caller's array is no part of the model any more
    assert_exact(read(model, alone, jnp.ones(2)), first)
    assert model.w[...] is held[0] and alone[...] is held[1]


def test_arrays_of_numpy_that_are_stored_later_move_too():
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    run = nnx.jit(lambda m, x: m(x))
    for _ in range(3):
        run(model, jnp.ones((1, 2)))
    nnx.update(model, {"kernel": np.ones((2, 3), np.float32), "bias": np.zeros(3, np.float32)})
    assert_exact(run(model, jnp.ones((1, 2))), np.full((1, 3), 2, np.float32))
    assert isinstance(model.kernel[...], jax.Array) and isinstance(model.bias[...], jax.Array)


def test_arrays_of_numpy_stay_in_models_of_another_trace():
    weight = nnx.Param(np.ones(2, np.float32))
    inner = nnx.jit(lambda v: v[...] * 2)

    @jax.jit
    def outer(x):
        return inner(weight) + x

    assert_exact(outer(jnp.ones(2)), np.full(2, 3, np.float32))
    assert type(weight[...]) is np.ndarray


@pytest.mark.parametrize(("graph", "updates"), MODES)
def test_structures_that_take_turns(graph, updates):
    @nnx.jit(graph=graph, graph_updates=updates)
    def step(models, x, by=1):
        for model in models:
            model.n[...] += x * by * len(model.label) * len(models)

    one, other = Count(), Count()
    other.label = "abc"
    expected = {id(one): 0, id(other): 0}
    for models in ([one], [other], [one, other], (one, other), [other], [one]):
        for by in ({}, {"by": 2}):
            for label in ("a", "ab"):
                one.label = label
                step(models, 1, **by)
                for model in models:
                    expected[id(model)] += by.get("by", 1) * len(model.label) * len(models)
    for model in (one, other):
        assert int(model.n[...]) == expected[id(model)]
