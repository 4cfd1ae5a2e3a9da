"""Activations: the names, the arguments JAX dropped, and parametric ReLU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie.ops import activations


def test_the_names_are_those_of_jax():
    own = {"normalize", "prelu", "softmax", "log_softmax", "tanh"}
    for name in set(activations.__all__) - own:
        assert getattr(activations, name) is getattr(jax.nn, name)
    assert activations.normalize is jax.nn.standardize
    assert activations.tanh is jnp.tanh


@pytest.mark.parametrize("axis", [-1, 0, (0, 1)])
def test_softmax_sums_to_one_over_what_takes_part(axis):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
    where = jnp.asarray(np.arange(12).reshape(3, 4) % 5 > 0)
    y = activations.softmax(x, axis, where, initial=-jnp.inf)
    assert not np.asarray(y[~where]).any()
    assert_close(y.sum(axis), jnp.ones_like(y.sum(axis)), "op")
    assert_close(activations.log_softmax(x, axis), jnp.log(activations.softmax(x, axis)), "op")
    assert_exact(activations.log_softmax(x, axis, where, -1.0), jax.nn.log_softmax(x, axis, where))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_prelu_scales_what_is_negative(dtype):
    x = jnp.asarray([-2.0, -0.0, 0.0, 3.0], dtype)
    got = activations.prelu(x, jnp.float32(0.25))
    assert_exact(got, jnp.asarray([-0.5, -0.0, 0.0, 3.0], dtype))


def test_prelu_learns_its_slope():
    grad = jax.grad(lambda a: activations.prelu(jnp.array([-2.0, 5.0]), a).sum())(0.25)
    assert_exact(grad, jnp.float32(-2.0))
