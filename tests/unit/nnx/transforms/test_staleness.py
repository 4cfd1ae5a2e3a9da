"""A compiled step of a model that is edited in between does what an uncached run does."""

import threading

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerance import assert_exact

from ramie import nnx


class Part(nnx.Module):
    """A variable, a factor that is static, and room for more."""

    def __init__(self, value):
        self.v = nnx.Param(jnp.array(value, jnp.int32))
        self.factor = 1
        self.more = nnx.data([])
        self.named = nnx.data({})


def _model():
    shared = Part(1)
    return nnx.Dict(a=shared, b=nnx.List([Part(2), Part(3)]), c=nnx.Dict(x=shared))


def _parts(model):
    return [x for _, x in nnx.iter_graph(model, graph=True) if isinstance(x, Part)]


def _body(model):
    """Do something that depends on every part, its place, its factor and what is in it."""
    for number, part in enumerate(_parts(model)):
        step = part.factor * (number + 1) + len(part.more)
        for inner in [*part.more, *part.named.values()]:
            inner[...] = inner[...] + step
        part.v[...] = part.v[...] * 2 + step
    return sum((part.v[...] for part in _parts(model)), jnp.array(0))


def _variable(value):
    return nnx.Param(jnp.array(value, jnp.int32))


def _swap(model):
    model.a, model.b[0] = model.b[0], model.a


def _in_thread(edit):
    def run(model):
        thread = threading.Thread(target=edit, args=(model,))
        thread.start()
        thread.join()

    return run


EDITS = {
    "attribute": lambda m: setattr(m.a, "factor", 5),
    "vars": lambda m: vars(m.b[0]).update(factor=7),
    "true for one": lambda m: vars(m.b[0]).update(factor=True),
    "object.__setattr__": lambda m: object.__setattr__(m.b[-1], "factor", 3),
    "variable": lambda m: setattr(m.a, "v", _variable(11)),
    "variable by vars": lambda m: vars(m.b[0]).update(v=_variable(13)),
    "value": lambda m: m.a.v.set_raw_value(jnp.array(17, jnp.int32)),
    "into a list": lambda m: m.a.more.append(_variable(1)),
    "out of a list": lambda m: m.a.more.clear(),
    "into a dictionary": lambda m: m.b[0].named.update(k=_variable(2)),
    "exchange in a dictionary": lambda m: m.b[0].named.update(k=m.a.v),
    "share": lambda m: setattr(m, "d", m.b[-1]),
    "share a variable": lambda m: setattr(m.b[0], "v", m.b[-1].v),
    "part": lambda m: m.b.append(Part(4)),
    "no part": lambda m: m.b.pop() if len(m.b) > 1 else None,
    "delete": lambda m: delattr(m.c, "x"),
    "swap": _swap,
    "metadata": lambda m: m.a.v.set_metadata(note=1),
    "attributes": lambda m: setattr(m.a, "__dict__", {**vars(m.a), "factor": 2}),
    "thread": _in_thread(lambda m: setattr(m.b[0], "factor", 4)),
    "thread, list": _in_thread(lambda m: m.b[0].more.append(_variable(5))),
    "nothing": lambda m: None,
}
compiled = nnx.jit(_body, graph=True, graph_updates=True)


def _values(model):
    """Describe a model entirely: sharing by number, and values."""
    graphdef, state = nnx.split(model, graph=True)
    return graphdef, [int(x) for x in jax.tree.leaves(state)]


@settings(deadline=None, max_examples=6)
@given(st.lists(st.sampled_from(sorted(EDITS)), min_size=1, max_size=5))
def test_any_series_of_edits_between_steps(edits):
    model = _model()
    compiled(model)
    compiled(model)
    for edit in edits:
        try:
            EDITS[edit](model)
        except AttributeError:
            continue  # deleted before
        other = nnx.clone(model, graph=True)
        expected = _body(other)
        assert_exact(compiled(model), expected)
        assert _values(model) == _values(other)


@pytest.mark.parametrize("edit", ["vars", "exchange in a dictionary", "swap", "thread, list"])
def test_one_edit_between_steps(edit):
    model = _model()
    compiled(model)
    compiled(model)
    EDITS[edit](model)
    other = nnx.clone(model, graph=True)
    assert_exact(compiled(model), _body(other))
    assert _values(model) == _values(other)


def test_threads_that_step_their_own_models():
    models = [_model() for _ in range(4)]
    expected = [_body(nnx.clone(model, graph=True)) for model in models]
    found = [None] * 4

    def work(number):
        found[number] = compiled(models[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for x, y in zip(found, expected, strict=True):
        assert_exact(x, y)
