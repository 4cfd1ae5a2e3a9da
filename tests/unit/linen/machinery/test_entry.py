"""The ways into a module: functions of a module as functions of variables."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact
from tests.unit.linen.sample_modules import KEY, Affine, X

import ramie.linen as nn
from ramie import errors
from ramie.linen.machinery import entry


def test_arguments_of_a_function_may_have_any_name():
    def add(module, *, scope, fn):
        return scope + fn

    assert nn.apply(add, Affine(2))({}, scope=1, fn=2) == 3
    assert nn.init_with_output(add, Affine(2))(KEY, scope=1, fn=2) == (3, {})


def test_what_was_created_is_returned_and_nothing_without_mutable():
    def call(module, x):
        return module(x)

    y, variables = nn.init_with_output(call, Affine(2))(KEY, X)
    assert_exact(nn.apply(call, Affine(2))(variables, X), y)
    assert entry.lazy_init(call, Affine(2))(KEY, jax.ShapeDtypeStruct(X.shape, X.dtype)).keys() == {
        "params"
    }
    assert nn.init_with_output(lambda module: 1, Affine(2), mutable=False)(KEY) == (1, {})
    assert nn.apply(lambda module: 1, Affine(2), mutable=["cache"])({}) == (1, {})


@pytest.mark.parametrize("method", ["init", "apply", "lazy_init", "init_with_output", "bind"])
def test_a_class_is_no_module(method):
    with pytest.raises(errors.InvalidInstanceModuleError):
        getattr(Affine, method)(Affine, KEY, X)


def test_lazy_init_refuses_what_is_no_key():
    with pytest.raises(errors.InvalidRngError, match="Module Affine"):
        Affine(2).lazy_init(jnp.zeros((3, 4)), X)
