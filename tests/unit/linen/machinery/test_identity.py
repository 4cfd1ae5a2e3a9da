"""What of a module survives pickling and copying."""

import copy
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ramie.linen as nn


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
