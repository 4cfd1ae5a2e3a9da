"""Parameters that nobody finds: late ones, those in Linen methods, those replaced by arrays."""

import collections
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ramie import linen as nn
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


class Counted(list):
    """A list that counts how many of its entries are looked at, from the end on."""

    looks = 0

    def __reversed__(self):
        for entry in super().__reversed__():
            self.looks += 1
            yield entry


@pytest.mark.parametrize("nested", [False, True])
def test_a_look_costs_no_more_in_a_long_container(nested):
    entries = Counted()
    net = Net({"log": entries} if nested else entries)
    entries.extend(range(5000))
    walk(net)
    assert 0 < entries.looks <= 200
    entries.append(nnx.Linear(2, 2, rngs=nnx.Rngs(1)))
    with pytest.raises(ValueError, match="got a module"):
        walk(net)


def test_containers_that_hold_themselves_or_sort_badly():
    net = Net({})
    net.layers.update({"e": 1, 3: [2], int: {}})
    net.layers["self"] = [net.layers]
    assert set(nnx.state(net)) == {"head"}
    net.layers["late"] = nnx.Linear(2, 2, rngs=nnx.Rngs(1))
    with pytest.raises(ValueError, match="'layers' of a Net got a module"):
        nnx.state(net)


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


# --- in methods of Linen modules ------------------------------------------------------------------

X = jnp.ones((1, 2))


class Compact(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nnx.Linear(2, 3, rngs=nnx.Rngs(0))(x)


class InSetup(nn.Module):
    def setup(self):
        self.layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.layer(x)


class Nested(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Compact()(nn.Dense(2)(x))


class Own(nn.Module):
    @nn.compact
    def __call__(self, x):
        class Scaled(nnx.Module):
            def __init__(self):
                self.scale = nnx.Param(jnp.ones(2))

        return x * Scaled().scale


@pytest.mark.parametrize("cls", [Compact, InSetup, Nested, Own])
def test_modules_made_in_linen_methods_are_refused(cls):
    dense = {"params": {"Dense_0": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}}
    for call in (lambda: cls().init(jax.random.key(0), X), lambda: cls().apply(dense, X)):
        with pytest.raises(ValueError, match=r"made inside of a method of the Linen.*to_linen"):
            call()


def test_modules_of_nnx_that_linen_may_use():
    class Bridged(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nnx.bridge.to_linen(nnx.Linear, 2, 3)(x)

    variables = Bridged().init(jax.random.key(0), X)
    assert Bridged().apply(variables, X).shape == (1, 3)
    outside = nnx.Linear(2, 3, rngs=nnx.Rngs(0))

    class Closed(nn.Module):
        @nn.compact
        def __call__(self, x):
            copied = nnx.merge(*nnx.split(outside))
            return nn.Dense(2)(copied(x) + outside(x))

    assert set(Closed().init(jax.random.key(0), X)["params"]) == {"Dense_0"}
    nnx.Linear(2, 3, rngs=nnx.Rngs(0))  # and afterwards, outside


@pytest.mark.parametrize("collection", ["params", "cache"])
def test_first_values_of_linen_variables_may_come_from_nnx(collection):
    def made(key):
        return nnx.to_pure_dict(nnx.state(nnx.Linear(2, 2, rngs=nnx.Rngs(params=key))))

    class Own(nn.Module):
        @nn.compact
        def __call__(self, x):
            if collection == "params":
                return x @ self.param("p", made)["kernel"]
            return x @ self.variable("cache", "p", made, jax.random.key(0)).value["kernel"]

    variables = Own().init(jax.random.key(0), X)
    assert jax.tree.map(jnp.shape, variables) == {
        collection: {"p": {"kernel": (2, 2), "bias": (2,)}}
    }
    assert Own().apply(variables, X).shape == (1, 2)


def test_after_an_error_in_a_linen_method_modules_are_made_again():
    with pytest.raises(ValueError, match="made inside"):
        Compact().init(jax.random.key(0), X)
    assert nnx.Linear(2, 3, rngs=nnx.Rngs(0)).kernel.shape == (2, 3)


# --- replaced by an array -------------------------------------------------------------------------


class Halves(nnx.Module):
    def __init__(self, early=False):
        self.w = nnx.Param(jnp.ones(2))
        self.count = nnx.BatchStat(jnp.array(0))
        if early:
            self.w = self.w * 0.5

    def halve(self):
        self.w = self.w * 0.5

    def counted(self):
        self.count = self.count + 1

    def by_numpy(self):
        self.w = np.ones(2)

    def well(self):
        self.w[...] = self.w * 0.5
        self.w = nnx.Param(self.w * 0.5)
        self.count = None
        self.other = self.w * 0.5
        self.other = self.w * 2


@pytest.mark.parametrize("name", ["halve", "counted", "by_numpy"])
def test_a_method_that_replaces_a_variable_by_an_array_is_warned(name):
    for call in (lambda m: getattr(m, name)(), nnx.jit(lambda m: getattr(m, name)())):
        with pytest.warns(UserWarning, match=rf"in Halves\.{name} replaced a .*\[\.\.\.\] = value"):
            call(Halves())
    with pytest.warns(UserWarning, match=r"Halves\.__init__ replaced a Param"):
        Halves(early=True)


def test_the_warning_is_about_the_line_of_the_program():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Halves().halve()
    assert [x.filename for x in caught] == [__file__]


def test_what_is_no_mistake_is_not_warned_of():
    model = Halves()
    model.well()
    model.w = jnp.zeros(2)  # from outside, as converters do
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    layer.bias = jnp.zeros(3)
    assert layer(X).shape == (1, 3)
