"""Modules put into a plain list or dict after it was assigned: the next walk says so, and where."""

import collections
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from ramie import nnx
from ramie.nnx.graph.walk import walk


class Net(nnx.Module):
    def __init__(self, layers):
        self.layers = layers
        self.head = nnx.Linear(2, 2, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.head(x)


LATE: dict[str, tuple[Callable[[], Any], Callable[[Any, Any], Any]]] = {
    "list": (list, lambda held, x: held.append(x)),
    "list with a number": (lambda: [1], lambda held, x: held.append(x)),
    "dict": (dict, lambda held, x: held.update(a=x)),
    "OrderedDict": (collections.OrderedDict, lambda held, x: held.update(a=x)),
    "defaultdict": (lambda: collections.defaultdict(list), lambda held, x: held["a"].append(x)),
    "tuple of a list": (lambda: ([], 1), lambda held, x: held[0].append(x)),
    "dict of a list": (lambda: {"a": []}, lambda held, x: held["a"].append((1, x))),
    "set": (set, lambda held, x: held.add(x)),
    "deque": (collections.deque, lambda held, x: held.append(x)),
}
WALKS: dict[str, Callable[[Any], Any]] = {
    "state": nnx.state,
    "split": nnx.split,
    "split as a tree": lambda m: nnx.split(m, graph=False),
    "graphdef": nnx.graphdef,
    "clone": nnx.clone,
    "jit": nnx.jit(lambda m: 1),
    "grad": nnx.grad(lambda m: m(jnp.ones((1, 2))).sum()),
    "Optimizer": lambda m: nnx.Optimizer(m, optax.sgd(0.1), wrt=nnx.Param),
    "leaves": jax.tree.leaves,
    "leaves with paths": jax.tree_util.tree_leaves_with_path,
    "map": lambda m: jax.tree.map(lambda x: x, m),
    "jax.jit": jax.jit(lambda m: 1),
}


def _late(kind):
    make, put = LATE[kind]
    net = Net(make())
    put(net.layers, nnx.Linear(2, 2, rngs=nnx.Rngs(1)))
    return net


@pytest.mark.parametrize("kind", LATE)
def test_each_container_is_looked_into(kind):
    with pytest.raises(ValueError, match="'layers' of a Net got a module \\(Linear\\)"):
        nnx.state(_late(kind))


@pytest.mark.parametrize("name", WALKS)
def test_each_walk_raises(name):
    with pytest.raises(ValueError, match=r"Found unexpected data.*nnx\.List\(\)"):
        WALKS[name](_late("list"))


def test_the_place_and_the_remedy_are_named():
    model = nnx.Dict(blocks=nnx.List([Net([]), _late("dict")]))
    with pytest.raises(ValueError, match=r"'blocks\[1\]\.layers'.*self\.layers = nnx\.Dict\(\)"):
        nnx.split(model)
    model.me = model  # also in what is no tree
    with pytest.raises(ValueError, match=r"'blocks\[1\]\.layers'"):
        nnx.split(model)
    with pytest.raises(ValueError, match=r"'blocks\[1\]\.layers'"):
        nnx.jit(lambda m, x: x)(model, 1)


def test_variables_count_as_well():
    net = Net([])
    net.layers.append(nnx.Param(jnp.ones(2)))
    with pytest.raises(ValueError, match="got a variable \\(Param\\)"):
        nnx.state(net)


def test_a_step_after_which_a_module_was_added():
    net, step = Net([]), nnx.jit(lambda m: m(jnp.ones((1, 2))))
    for _ in range(3):
        step(net)
    net.layers.append(nnx.Linear(2, 2, rngs=nnx.Rngs(1)))
    with pytest.raises(ValueError, match="Found unexpected data"):
        step(net)


def test_containers_that_are_data_take_modules_at_any_time():
    for held in (nnx.List(), nnx.data([]), [nnx.Linear(2, 2, rngs=nnx.Rngs(1))]):
        net = Net(nnx.data(held) if type(held) is list else held)
        net.layers.append(nnx.Linear(2, 2, rngs=nnx.Rngs(1)))
        assert "layers" in nnx.state(net)


def test_plain_values_may_be_added_at_any_time():
    net = Net([])
    for value in (1, "a", None, 0.5, print, jnp.float32, (1, [2]), {"a": 1}):
        net.layers.append(value)
        walk(net)
    net.log = {}
    net.log["loss"] = [jnp.ones(())]  # a number of the training, and no parameter
    assert set(nnx.state(net)) == {"head"}
