"""The remembered walk: equal to a walk made anew, whatever was edited in between and how."""

import gc
import weakref

import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerance import assert_exact

from ramie import nnx
from ramie.nnx.graph.cache import RememberedWalk, flatten
from ramie.nnx.graph.walk import walk


class Leaf(nnx.Module):
    """Has a variable, a static value, and a name that may be empty."""

    def __init__(self, value):
        self.v = nnx.Param(value)
        self.n = 1
        self.empty = nnx.data(None)


class OtherLeaf(Leaf):
    """Another class with the same attributes."""


def _model():
    shared = Leaf(0)
    return nnx.Dict(a=shared, b=nnx.List([Leaf(1), Leaf(2)]), c=nnx.Dict(x=shared), k="k")


def _remembered(model):
    nnx.split(model)
    nnx.split(model)
    return isinstance(model._pytree__walk, RememberedWalk)


def _assert_same(model):
    (known, recalled), (graphdef, leaves) = flatten(model), walk(model)
    assert known is graphdef and list(map(id, recalled)) == list(map(id, leaves))


def _swap(model):
    model.a, model.b[0] = model.b[0], model.a


def _in_init_order(model):
    attributes = vars(model.a)
    value = attributes.pop("n")
    attributes["n"] = value


EDITS = {
    "set": lambda m: setattr(m.b[1], "n", 2),
    "set by object": lambda m: object.__setattr__(m.b[0], "n", 3),
    "set by vars": lambda m: vars(m.b[0]).update(n=1.0),
    "true for one": lambda m: vars(m.b[0]).update(n=True),
    "new variable": lambda m: setattr(m.a, "v", nnx.Param(5)),
    "new kind": lambda m: vars(m.a).update(v=nnx.BatchStat(5)),
    "new attribute": lambda m: setattr(m.c, "y", nnx.Cache(1)),
    "delete": lambda m: delattr(m.c, "x"),
    "swap": _swap,
    "share": lambda m: setattr(m, "d", m.b[1]),
    "share a variable": lambda m: setattr(m.b[0], "v", m.b[1].v),
    "metadata": lambda m: m.a.v.set_metadata(note=1),
    "status": lambda m: setattr(m.a, "n", nnx.data(m.a.n)),
    "class": lambda m: setattr(m.b[0], "__class__", OtherLeaf),
    "class of a variable": lambda m: object.__setattr__(m.a.v, "__class__", nnx.Cache),
    "append": lambda m: m.b.append(Leaf(7)),
    "insert": lambda m: m.b.insert(0, Leaf(8)),
    "pop": lambda m: m.b.pop() if len(m.b) > 1 else None,
    "replace attributes": lambda m: setattr(m.c, "__dict__", {**vars(m.c), "x": m.a}),
    "order": _in_init_order,
    "a list": lambda m: setattr(m, "l", nnx.data([nnx.Param(1)])),
    "into a list": lambda m: m.l.append(nnx.Param(2)),
    "out of a list": lambda m: m.l.pop() if m.l else None,
    "exchange in a list": lambda m: m.l.__setitem__(0, nnx.Param(3)),
    "a dict": lambda m: setattr(m, "h", nnx.data({"x": nnx.Param(1), "y": (nnx.Param(2), 3)})),
    "into a dict": lambda m: m.h.update(z=nnx.Param(4)),
    "rename in a dict": lambda m: m.h.update(w=m.h.pop("x")),
    "number in a dict": lambda m: m.h.update(n=1),
    "true in a dict": lambda m: m.h.update(n=True),
    "a state": lambda m: setattr(m, "t", nnx.data(nnx.State({"x": {"y": nnx.Param(1)}}))),
    "into a state": lambda m: m.t["x"].__setitem__("z", nnx.Param(2)),
    "another mapping": lambda m: object.__setattr__(m.t, "_mapping", {"q": nnx.Param(1)}),
    "a static list": lambda m: setattr(m, "s", [1]),
    "into a static list": lambda m: m.s.append(2) if "s" in m else None,
    "an array": lambda m: setattr(m, "w", jnp.ones(1)),
    "none": lambda m: setattr(m.a, "empty", nnx.Param(1)),
    "cycle": lambda m: setattr(m.c, "me", m),
    "value": lambda m: m.a.v.set_raw_value(9),
    "nothing": lambda m: None,
}


@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_is_seen(edit):
    model = _model()
    assert _remembered(model)
    for before in ("a list", "a dict", "a state"):
        if before.removeprefix("a ") in edit and edit != before and "static" not in edit:
            EDITS[before](model)
            _check(model)
            _check(model)
    if edit == "another mapping":
        EDITS["a state"](model)
        _check(model)
    if edit != "into a static list":
        EDITS[edit](model)
    _check(model)
    _check(model)
    _check(model)


def _check(model):
    if hasattr(model, "s"):  # a structure with a list is a new object each time
        (known, recalled), (graphdef, leaves) = flatten(model), walk(model)
        assert known == graphdef and list(map(id, recalled)) == list(map(id, leaves))
    else:
        _assert_same(model)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from(sorted(EDITS)), max_size=8))
def test_any_series_of_edits_is_seen(edits):
    model = _model()
    assert _remembered(model)
    for edit in edits:
        try:
            EDITS[edit](model)
        except (TypeError, ValueError, AttributeError, LookupError):
            continue  # this edit does not go with those before
        _check(model)


def test_values_are_not_part_of_it():
    model = _model()
    assert _remembered(model)
    known = model._pytree__walk
    model.a.v.set_value(jnp.ones(2))
    state = nnx.state(model)
    assert model._pytree__walk is known
    assert_exact(state.a.v.get_value(), jnp.ones(2))


def test_states_do_not_share_changes():
    model = _model()
    assert _remembered(model)
    state = nnx.state(model)
    del state["a"]
    state.b = nnx.State({})
    assert len(nnx.state(model).flat_state()) == 3


@pytest.mark.parametrize("value", [[1], jnp.ones(1), nnx.data([jnp.ones(1)]), nnx.data(3)])
def test_what_may_change_unseen_is_walked_over_each_time(value):
    model = _model()
    model.a.extra = value
    assert not _remembered(model)


def test_a_remembered_walk_keeps_no_model_alive():
    model = _model()
    assert _remembered(model)
    gc.collect()
    gc.disable()
    try:
        gone = weakref.ref(model)
        del model
        assert gone() is None
    finally:
        gc.enable()
