"""Models that take over values from states: what fits is taken, what does not is listed."""

import dataclasses
from collections import namedtuple
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.tolerance import assert_exact

from ramie import errors, nnx, struct
from ramie.trees.frozen import FrozenDict

Pair = namedtuple("Pair", "x y")


@struct.dataclass
class Box:
    x: Any
    y: int = struct.field(pytree_node=False, default=0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Checked:
    x: Any

    def __post_init__(self):
        assert isinstance(self.x, jax.Array)


def _model():
    return nnx.Dict(
        a=nnx.Param(jnp.ones(2)),
        b=nnx.Dict(c=nnx.BatchStat(jnp.zeros(1)), d=3),
        l=nnx.List([nnx.Param(jnp.zeros(1)), "s"]),
        x=jnp.arange(3),
    )


def test_update_changes_in_place():
    model = _model()
    kept = model.a
    nnx.update(model, {"a": jnp.zeros(2), "b": {"c": jnp.ones(1)}}, {"l": {0: 7}, "x": jnp.ones(3)})
    assert model.a is kept and kept[...].sum() == 0 and model.b.c[...].sum() == 1
    assert model.l[0].get_value() == 7 and model.x.sum() == 3
    nnx.update(model, nnx.State({"b": {"d": 4, "seen": nnx.Intermediate(1)}}))
    assert model.b.d == 4 and isinstance(model.b.seen, nnx.Intermediate)
    nnx.update(model, nnx.to_flat_state(nnx.state(_model(), nnx.Param)))
    assert kept[...].sum() == 2
    nnx.update(model, nnx.State({"a": nnx.Param(jnp.ones(2), note=1)}))
    assert model.a is kept and kept.note == 1
    nnx.update(model, _model())
    assert model.a is kept and model.b.d == 3
    with pytest.raises(ValueError, match="entries of its own"):
        nnx.update(nnx.Dict(a=nnx.Dict(b=1)), 3)
    with pytest.raises(ValueError, match="cannot be changed"):
        nnx.update((1, 2), {0: 3})


def test_update_checks_the_trace_level():
    model = _model()

    @jax.jit
    def f(x):
        with pytest.raises(errors.TraceContextError):
            nnx.update(model, {"a": x})
        return x

    f(jnp.zeros(2))


# --- what does not fit ----------------------------------------------------------------------------


class Net(nnx.Module):
    def __init__(self):
        self.linear = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
        self.array = jnp.ones(2)
        self.layers = nnx.List([nnx.Linear(2, 2, rngs=nnx.Rngs(0))])
        self.table = nnx.data({"x": jnp.ones(2)})
        self.nothing = nnx.data(None)
        self.stat = nnx.BatchStat(jnp.ones(2))


ONES = jnp.ones(2)
UNKNOWN = {
    "top": {"typo": ONES},
    "in a layer": {"linear": {"typo": ONES}},
    "a variable": {"linear": {"typo": nnx.Param(ONES)}},
    "a state": {"typo": {"w": ONES}},
    "a place in a list": {"layers": {3: {"kernel": ONES}}},
    "a key of a dict": {"table": {"typo": ONES}},
}
CONTAINERS = {
    "dict": {"linear": {"kernel": {"a": ONES}}},
    "State": {"linear": {"kernel": nnx.State({"a": ONES})}},
    "list": {"linear": {"kernel": [ONES]}},
    "tuple": {"linear": {"kernel": (ONES, ONES)}},
    "module": {"linear": {"kernel": nnx.Linear(1, 1, rngs=nnx.Rngs(0))}},
    "None": {"linear": {"kernel": None}},
    "str": {"linear": {"kernel": "abc"}},
    "dict for an array": {"array": {"x": ONES}},
    "list for an array": {"array": [ONES]},
    "list in a dict": {"table": {"x": [ONES]}},
    "dict for None": {"nothing": {"a": ONES}},
    "array for a module": {"linear": ONES},
    "variable for a module": {"linear": nnx.Param(ONES)},
    "array for a dict": {"table": ONES},
}
SHAPES = {
    "fewer": {"linear": {"kernel": jnp.ones((1, 3))}},
    "transposed": {"linear": {"kernel": jnp.ones((3, 2))}},
    "flat": {"linear": {"kernel": jnp.ones(6)}},
    "of a variable": {"linear": {"kernel": nnx.Param(jnp.ones((2, 4)))}},
    "of NumPy": {"linear": {"bias": np.ones(4)}},
    "statistics": {"stat": jnp.ones(3)},
}
WRONG = {
    **{f"unknown: {name}": given for name, given in UNKNOWN.items()},
    **{f"container: {name}": given for name, given in CONTAINERS.items()},
    **{f"shape: {name}": given for name, given in SHAPES.items()},
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("as_state", [False, True], ids=["dict", "State"])
def test_what_does_not_fit_is_an_error_and_nothing_changes(name, as_state):
    model = Net()
    before = jax.tree.map(jnp.copy, nnx.state(model))
    given = {"stat": jnp.zeros(2), **WRONG[name]} if "stat" not in WRONG[name] else WRONG[name]
    with pytest.raises(ValueError, match="does not fit the Net") as caught:
        nnx.update(model, nnx.State(given) if as_state else given)
    path, *_ = jax.tree_util.tree_leaves_with_path(WRONG[name], is_leaf=lambda x: x is None)[0]
    assert str(path[0].key) in str(caught.value)
    assert nnx.graphdef(model) == nnx.graphdef(Net())
    jax.tree.map(assert_exact, nnx.state(model), before)


def test_all_that_does_not_fit_is_listed():
    with pytest.raises(ValueError, match="does not fit") as caught:
        nnx.update(
            Net(),
            {"one": ONES, "linear": {"two": ONES, "kernel": jnp.ones(7), "bias": [1]}},
            {"layers": {0: {"three": ONES}}},
        )
    text = str(caught.value)
    for line in (
        "one: the Net has array, layers, linear",
        "linear/two: the Linear has bias, dot_general",
        "layers/0/three",
        "linear/kernel: shape (7,), where the model has (2, 3)",
        "linear/bias: a list, where the model has an array of shape (3,)",
    ):
        assert line in text


def test_shapes_that_may_differ():
    model, stacked = Net(), jnp.ones((4, 2, 3))
    nnx.update(model, {"linear": {"kernel": stacked}})  # as for jax.vmap
    assert model.linear.kernel.shape == (4, 2, 3)
    nnx.update(model, {"linear": {"kernel": stacked[0]}, "array": jnp.ones(5)})
    assert model.linear.kernel.shape == (2, 3) and model.array.shape == (5,)
    cache = nnx.Dict(a=nnx.Cache(jnp.ones((1, 2))), b=nnx.Variable(jnp.ones(2)))
    nnx.update(cache, {"a": jnp.ones((3, 2)), "b": jnp.ones(7)})
    assert cache.a.shape == (3, 2) and cache.b.shape == (7,)
    shapes = nnx.eval_shape(Net)
    nnx.update(shapes, nnx.state(Net()))
    assert isinstance(shapes.linear.kernel[...], jax.Array)
    with pytest.raises(ValueError, match=r"shape \(9,\)"):
        nnx.update(nnx.eval_shape(Net), {"linear": {"kernel": jnp.ones(9)}})


def test_what_is_empty_says_nothing():
    model = Net()
    nnx.update(model, {}, nnx.State({}), {"linear": {}, "typo": {}, "array": {}})
    nnx.update(model, {"linear": {"kernel": {}}})
    assert nnx.graphdef(model) == nnx.graphdef(Net())


def test_values_that_are_containers_themselves():
    model = nnx.Dict(v=nnx.Variable({"a": 1}), s=nnx.Intermediate((1,)), n=nnx.data(None))
    nnx.update(model, {"v": {"a": 2}, "s": (1, 2), "n": ONES})
    assert model.v[...] == {"a": 2} and model.s[...] == (1, 2) and model.n is ONES
    given = nnx.Dict(v=nnx.Param(ONES))
    nnx.update(given, {"v": nnx.Param({"a": 1})})  # a variable replaces all of the other
    assert given.v[...] == {"a": 1}


class Loss(nnx.Variable):
    pass


@pytest.mark.parametrize("kind", [nnx.Intermediate, nnx.BatchStat, nnx.Cache, Loss])
def test_what_runs_make_is_taken(kind):
    class Sows(nnx.Module):
        def __call__(self, x):
            self.sow(kind, "seen", x)
            return x

    model = nnx.Dict(a=Sows())
    graphdef, state = nnx.split(model)

    @jax.jit
    def step(state, x):
        merged = nnx.merge(graphdef, state)
        merged.a(x)
        return nnx.state(merged)

    nnx.update(model, step(state, ONES))
    assert_exact(model.a.seen[...][0], ONES)


# --- containers that cannot be changed ------------------------------------------------------------

IMMUTABLE = {
    "tuple": ((ONES, 3), {0: ONES + 1}, lambda x: x[0]),
    "namedtuple": (Pair(ONES, 3), {"x": ONES + 1}, lambda x: x.x),
    "struct dataclass": (Box(ONES, 3), {"x": ONES + 1}, lambda x: x.x),
    "dataclass": (Checked(ONES), {"x": ONES + 1}, lambda x: x.x),
    "FrozenDict": (FrozenDict({"z": 3, "x": ONES}), {"x": ONES + 1}, lambda x: x["x"]),
    "nested": ((Pair(1, (Box((ONES,)),)),), {0: {"y": {0: {"x": {0: ONES + 1}}}}}, lambda x: x),
    "beside a variable": ((nnx.Param(ONES), ONES), {1: ONES + 1, 0: ONES}, lambda x: x[1]),
    "whole": ((ONES, 3), (ONES + 1, 4), lambda x: x[0]),
    "whole namedtuple": (Pair(ONES, 3), Pair(ONES + 1, 3), lambda x: x.x),
}


@pytest.mark.parametrize("name", IMMUTABLE)
@pytest.mark.parametrize("inside_of", ["module", "dict", "list"])
def test_containers_along_the_path_are_made_anew(name, inside_of):
    held, given, read = IMMUTABLE[name]
    model: Any = {
        "module": lambda: nnx.Dict(c=nnx.data(held)),
        "dict": lambda: {"c": held},
        "list": lambda: [held],
    }[inside_of]()
    key = 0 if inside_of == "list" else "c"
    nnx.update(model, {key: given})
    now = model[key]
    assert type(now) is type(held)
    assert jax.tree.structure(nnx.pure(now)) == jax.tree.structure(nnx.pure(held))
    for leaf in jax.tree.leaves(read(now)):
        if isinstance(leaf, jax.Array):
            assert_exact(leaf, ONES + 1)
    assert_exact(jax.tree.leaves(read(held))[-1] if name == "nested" else read(held), ONES)


def test_states_of_a_model_with_immutable_containers_go_back():
    def make(value):
        return nnx.Dict(
            c=nnx.data((Pair(jnp.full(2, value), Box(jnp.full(1, value))), nnx.Param(ONES * value)))
        )

    model, other = make(1.0), make(5.0)
    for given in (
        nnx.state(other),
        nnx.to_pure_dict(nnx.state(other)),
        nnx.to_flat_state(nnx.state(other)),
    ):
        nnx.update(model, nnx.state(make(1.0)))
        nnx.update(model, given)
        jax.tree.map(assert_exact, nnx.pure(nnx.state(model)), nnx.pure(nnx.state(other)))
        assert isinstance(model.c[0], Pair) and isinstance(model.c[0].y, Box)


def test_states_of_optimizers_go_back():
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    plain = nnx.Dict(state=nnx.data(optax.adam(0.1).init(nnx.to_pure_dict(nnx.state(model)))))
    other = jax.tree.map(lambda x: x + 1, plain)
    nnx.update(plain, nnx.state(other))
    jax.tree.map(assert_exact, plain.state, other.state)


def test_an_unknown_entry_of_an_immutable_container():
    with pytest.raises(ValueError, match="c/5: the tuple has 0, 1"):
        nnx.update(nnx.Dict(c=nnx.data((ONES, 1))), {"c": {5: ONES}})
