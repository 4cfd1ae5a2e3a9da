"""Modules with the manners of Linen that are modules of NNX."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact

from ramie import errors, nnx
from ramie import linen as nn
from ramie.nnx import bridge

X = jnp.ones((2, 3))
ONES = nnx.initializers.ones_init()


class Dense(bridge.Module):
    features: int

    @bridge.compact
    def __call__(self, x):
        return x @ self.param("kernel", ONES, (x.shape[-1], self.features))


def test_compact_submodules_get_names():
    class Net(bridge.Module):
        @bridge.compact
        def __call__(self, x):
            self.last = Dense(2)
            y = Dense(2)(x) + Dense(2, name="named")(x) + self.last(x)
            assert self.last is self.Dense_0 and bridge.current_module() is self
            return y

    model = Net()
    output, variables = model.init_with_output(0, X)
    assert sorted(variables["params"]) == ["Dense_0", "Dense_1", "named"]
    assert_exact(model.apply(variables, X), output)
    zeros = jax.tree.map(jnp.zeros_like, variables)
    assert_exact(model.apply(zeros, X), jnp.zeros((2, 2)))
    assert isinstance(model, nnx.Module) and model.scope is None and not hasattr(model, "last")
    assert bridge.current_module() is None and bridge.current_context() is None


def test_setup_and_containers():
    class Net(bridge.Module):
        def setup(self):
            self.one = Dense(2)
            self.several = [Dense(2), Dense(2, name="own")]
            self.by_name = {"k": Dense(2)}
            self.shift = self.param("shift", ONES, (1, 1))

        def __call__(self, x):
            layers = [self.one, *self.several, self.by_name["k"]]
            return sum(layer(x) for layer in layers) + self.shift

    variables = Net().init(0, X)
    paths = nnx.to_flat_state(variables["params"]).paths
    assert paths == (
        ("by_name", "k", "kernel"),
        ("one", "kernel"),
        ("own", "kernel"),
        ("several", 0, "kernel"),
        ("shift",),
    )
    assert_exact(Net().apply(variables, X), jnp.full((2, 2), 13.0))


def test_priorities_decide_names():
    class Net(bridge.Module):
        def setup(self):
            self.z = Dense(1)
            self.a = self.z
            self.set_attr_priority("z", bridge.AttrPriority.HIGH)

        def __call__(self, x):
            return self.a(x)

    variables = Net().init(0, X)
    assert list(variables["params"]) == ["z"]
    assert_exact(Net().apply(variables, X), jnp.full((2, 1), 3.0))


def test_variables_change_if_they_may():
    class Net(bridge.Module):
        @bridge.compact
        def __call__(self):
            calls = self.variable("counts", "calls", lambda: jnp.zeros((), jnp.int32))
            if not self.is_initializing():
                calls[...] += 1
            return self.make_rng(), calls[...]

    variables = Net().init(0)
    assert int(variables["counts"]["calls"]) == 0
    (key, calls), changed = Net().apply(variables, rngs=3, mutable="counts")
    assert int(changed["counts"]["calls"]) == int(calls) == 1
    assert key == jax.random.fold_in(jax.random.key(3), 0)
    assert int(Net().apply(variables, rngs={"default": 3})[1]) == 1


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="Parameters must be initialized"):
        Dense(1)(X)
    with pytest.raises(errors.ScopeParamNotFoundError, match="kernel"):
        Dense(1).apply({}, X)
    with pytest.raises(ValueError, match="No module of the bridge runs here"):
        bridge.nnx_in_bridge_mdl(lambda rngs: nnx.Linear(1, 1, rngs=rngs))

    class Absent(bridge.Module):
        @bridge.compact
        def __call__(self):
            return self.variable("stats", "mean")

    with pytest.raises(errors.ScopeVariableNotFoundError):
        Absent().init(0)

    class Taken(bridge.Module):
        @bridge.compact
        def __call__(self):
            self.weight = 3
            return self.param("weight", ONES, (1,))

    with pytest.raises(ValueError, match="to be a Variable, got int"):
        Taken().init(0)


def test_boxes_of_linen():
    class Net(bridge.Module):
        @bridge.compact
        def __call__(self):
            init = nn.with_partitioning(ONES, ("a",))
            return self.param("w", init, (2,)).out_sharding

    with nnx.use_eager_sharding(False):
        names, variables = Net().init_with_output(0)
        assert names == ("a",) and isinstance(variables["params"]["w"], nn.Partitioned)
        assert Net().apply(variables) == ("a",)


class Layer(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(3, 3, rngs=rngs)
        self.calls = nnx.BatchStat(jnp.zeros(()))

    def __call__(self, x):
        self.calls[...] += 1
        return self.linear(x)


def test_modules_of_nnx_and_linen_inside():
    class Net(bridge.Module):
        def setup(self):
            self.mine = bridge.nnx_in_bridge_mdl(Layer)

        @bridge.compact
        def __call__(self, x):
            x = bridge.nnx_in_bridge_mdl(Layer, name="named")(self.mine(x))
            return bridge.linen_in_bridge_mdl(nn.Dense(2))(x)

    model = Net()
    output, variables = model.init_with_output(0, X)
    assert sorted(variables["params"]) == ["Dense_0", "mine", "named"]
    assert_exact(model.apply(variables, X), output)
    _, changed = model.apply(variables, X, mutable=["batch_stats"])
    assert float(changed["batch_stats"]["mine"]["calls"]) == 2.0


def test_calls_can_be_transformed():
    class Net(bridge.Module):
        @bridge.compact
        def __call__(self, x):
            return nnx.remat(Dense.__call__)(Dense(2), x)

    variables = Net().init(0, X)
    gradient = jax.jit(jax.grad(lambda v: Net().apply(v, X).sum()))(variables)
    assert_exact(gradient["params"]["Dense_0"]["kernel"], jnp.full((3, 2), 2.0))
