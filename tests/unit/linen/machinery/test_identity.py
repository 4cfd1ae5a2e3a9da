"""What of a module survives pickling and copying."""

import copy
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ramie.linen as nn
from ramie import errors


@pytest.mark.parametrize("function", [nn.relu, nn.gelu, jnp.tanh, jax.lax.tanh, nn.PReLU, None])
def test_functions_of_jax_are_pickled_by_name(function):
    module = nn.LSTMCell(3, activation_fn=function)
    for again in (pickle.loads(pickle.dumps(module)), copy.copy(module), copy.deepcopy(module)):
        assert again == module
        assert again.activation_fn is function
        assert again.gate_fn is module.gate_fn


@pytest.mark.parametrize("value", [float("nan"), np.ones(3), jnp.ones(3)], ids=["nan", "np", "jnp"])
def test_a_module_equals_its_clone_whatever_a_field_holds(value):
    class Model(nn.Module):
        value: Any

    class Holder(nn.Module):
        inner: nn.Module

    assert Model(value).clone() == Model(value)
    assert Holder(Model(value)).clone() == Holder(Model(value))
    assert Model(value) != Model(value, name="other")


def test_pickles_name_public_modules_only():
    assert b"jax._src" not in pickle.dumps(nn.LSTMCell(3, activation_fn=nn.hard_sigmoid))


class Counting(nn.Module):
    """Counts its calls, and draws a number at each."""

    @nn.compact
    def __call__(self, x):
        count = self.variable("state", "count", lambda: jnp.zeros((), int))
        count.value += 1
        return nn.Dense(2, name="layer")(x) + jax.random.normal(self.make_rng("noise"), (1, 2))


X = jnp.ones((2, 3))


def counting():
    rngs = {"params": jax.random.key(0), "noise": jax.random.key(1)}
    variables = Counting().init(rngs, X)
    return Counting().bind(variables, rngs={"noise": jax.random.key(2)}, mutable=["state"])


def count_of(bound):
    return int(bound.variables["state"]["count"])


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_bound_module_has_copies_of_its_variables(duplicate):
    bound = counting()
    bound(X)
    twin = duplicate(bound)
    assert count_of(bound) == count_of(twin) == 2
    np.testing.assert_array_equal(twin(X), bound(X))  # streams go on where they were
    twin(X)
    assert (count_of(bound), count_of(twin)) == (3, 4)
    bound.put_variable("state", "count", jnp.array(0))
    assert (count_of(bound), count_of(twin)) == (0, 4)
    shared = [b.variables["params"]["layer"]["kernel"] for b in (bound, twin)]
    assert (shared[0] is shared[1]) == (duplicate is copy.copy)
    with pytest.raises(errors.ModifyScopeVariableError):
        twin.put_variable("params", "new", 1)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_of_parts_of_a_bound_module(duplicate):
    model = nn.Sequential([nn.Dense(3), nn.Dense(2)])
    bound = model.bind(model.init(jax.random.key(0), X))
    twin = duplicate(bound.layers[1])
    np.testing.assert_array_equal(twin(bound.layers[0](X)), bound(X))
    np.testing.assert_array_equal(duplicate(bound)(X), bound(X))
    assert twin.unbind()[0] == nn.Dense(2)
    both = copy.deepcopy({"a": bound, "b": [bound]})
    assert both["a"] is both["b"][0] and both["a"] is not bound


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_in_setup_are_submodules_of_their_own(duplicate):
    class Tower(nn.Module):
        layer: nn.Module

        def setup(self):
            made = nn.Dense(3)
            self.first = made
            self.others = [duplicate(made), duplicate(self.first), duplicate(self.layer)]

        def __call__(self, x):
            for layer in (self.first, *self.others):
                x = layer(x)
            return x

    params = Tower(nn.Dense(3)).init(jax.random.key(0), X)["params"]
    assert sorted(params) == ["first", "others_0", "others_1", "others_2"]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_module_that_was_bound_elsewhere_keeps_its_variables_in_a_method_of_another(duplicate):
    bound = nn.Dense(2).bind(nn.Dense(2).init(jax.random.key(0), X))

    class Other(nn.Module):
        @nn.compact
        def __call__(self, x):
            return duplicate(bound)(x)

    np.testing.assert_array_equal(Other().apply({}, X), bound(X))


def test_pickling_in_a_method_is_refused_too():
    class Pickles(nn.Module):
        @nn.compact
        def __call__(self, x):
            return pickle.dumps(nn.Dense(2))

    with pytest.raises(TypeError, match="Cannot pickle Dense while it is bound"):
        Pickles().apply({}, X)
