"""jit, contexts and prefixes of either library do the same to the objects of the caller."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

flax = pytest.importorskip("flax")

from flax import nnx as flax_nnx  # noqa: E402

from ramie import nnx as ramie_nnx  # noqa: E402

LIBRARIES = (ramie_nnx, flax_nnx)
NAMES = (
    "jit",
    "jit_partial",
    "cached_partial",
    "shard_map",
    "pmap",
    "split_context",
    "merge_context",
    "update_context",
    "current_update_context",
    "to_tree",
    "from_tree",
    "prefix",
    "StateSharding",
)
OURS = {"donate", "share_traces"}  # keywords that Flax does not have


@pytest.mark.parametrize("name", NAMES)
def test_parameters(name):
    ours, theirs = (inspect.signature(getattr(nnx, name)).parameters for nnx in LIBRARIES)
    ours = {key: x for key, x in ours.items() if key not in OURS}
    assert list(ours) == list(theirs)
    assert [x.kind for x in ours.values()] == [x.kind for x in theirs.values()]


def _change(nnx, graph, updates):
    """Change a model in a compiled function; describe it afterwards."""
    shared = nnx.Param(jnp.array(1.0))
    model = nnx.Dict(a=nnx.Dict(v=shared, n=nnx.BatchStat(jnp.array(2))), b=nnx.Dict(v=shared))
    inner, stat = model.a, model.a.n
    traces = []

    @nnx.jit(graph=graph, graph_updates=updates)
    def step(model, x):
        traces.append(1)
        model.a.v[...] += x
        model.a.n.set_metadata(note="seen")
        if updates:
            model.c, model.a = model.a, nnx.Dict(new=nnx.Cache(x * 2))
            model.k = len(traces)
        return {"out": model.b.v * 2, "fresh": nnx.Intermediate(x)}

    out = step(model, 3.0)
    out = step(model, jnp.array(4.0)) if not updates else out
    _, state = nnx.split(model, graph=True)
    note = None if updates else stat.note  # with updates, Flax loses new metadata
    flat = {path: (type(x).__name__, np.asarray(x[...])) for path, x in nnx.to_flat_state(state)}
    kept = (model.c is inner) if updates else (model.a is inner)
    return flat, kept, inner.n is stat, note, np.asarray(out["out"]), len(traces)


@pytest.mark.parametrize(("graph", "updates"), [(True, True), (True, False)])
def test_what_a_step_changes(graph, updates):
    ours, theirs = (_change(nnx, graph, updates) for nnx in LIBRARIES)
    assert ours[0].keys() == theirs[0].keys()
    for path, (kind, value) in ours[0].items():
        assert kind == theirs[0][path][0]
        np.testing.assert_array_equal(value, theirs[0][path][1])
    assert ours[1:4] == theirs[1:4] and ours[5] == theirs[5]
    np.testing.assert_array_equal(ours[4], theirs[4])


def _failure(nnx, run):
    try:
        run(nnx)
    except Exception as error:
        return type(error).__name__
    return None


REFUSED = {
    "passed in twice": lambda nnx: _twice(nnx, nnx.Param(1.0)),
    "returned": lambda nnx: nnx.jit(lambda v: v, graph=False)(nnx.Param(1.0)),
    "captured": lambda nnx: (lambda v: nnx.jit(lambda x: v.set_value(x))(1.0))(nnx.Param(1.0)),
    "returned and captured": lambda nnx: (lambda v: nnx.jit(lambda: v)())(nnx.Param(1.0)),
    "bound": lambda nnx: nnx.jit(nnx.Dict().__init__),
    "node as prefix": lambda nnx: nnx.jit(lambda x: x, in_shardings=nnx.Dict(a=1), graph=True),
    "filters in tree mode": lambda nnx: nnx.jit(
        lambda x: x, in_shardings=nnx.StateSharding({...: None}), graph=False
    ),
    "static without hash": lambda nnx: nnx.jit(lambda x: x, static_argnums=0)([1]),
    "no context": lambda nnx: nnx.current_update_context("none"),
}


def _twice(nnx, variable):
    nnx.jit(lambda a, b: None, graph=False)(variable, variable)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    ours, theirs = (_failure(nnx, REFUSED[case]) for nnx in LIBRARIES)
    assert ours == theirs is not None


def test_prefixes_of_variables():
    def made(nnx, graph):
        model = nnx.Dict(a=nnx.Param(1), b=nnx.Dict(c=nnx.BatchStat(2)))
        return jax.tree.leaves(nnx.prefix(model, {nnx.Param: 0, ...: 1}, graph=graph))

    for graph in (True, False):
        assert made(ramie_nnx, graph) == made(flax_nnx, graph)
