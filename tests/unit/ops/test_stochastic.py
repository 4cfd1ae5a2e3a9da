"""Dropout: what stays, what it is scaled by, and what entries share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerance import assert_close, assert_exact

from ramie.ops import stochastic


def test_kept_entries_are_scaled_and_others_zero():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(50, 20)), jnp.float32)
    y = stochastic.dropout(x, jax.random.key(0), 0.25)
    assert_exact(jnp.where(y == 0, 0, y), jnp.where(y == 0, 0, x / np.float32(0.75)))
    assert 0.2 < float((y == 0).mean()) < 0.3


@settings(max_examples=5, deadline=None)
@given(st.sets(st.integers(-3, 2)))
def test_entries_share_their_fate_along_broadcast_axes(dims):
    axes = {a % 3 for a in dims}
    y = np.asarray(stochastic.dropout(jnp.ones((4, 5, 6)), jax.random.key(1), 0.5, tuple(dims)))
    first = y[tuple(slice(0, 1) if a in axes else slice(None) for a in range(3))]
    assert_exact(y, np.broadcast_to(first, y.shape))


def test_rates_of_nothing_and_everything_need_no_key():
    x = jnp.ones((3, 4))
    assert_exact(stochastic.dropout(x, None, 0.0), x)
    assert_exact(stochastic.dropout(x, None, 1), jnp.zeros_like(x))
    grad = jax.grad(lambda y: stochastic.dropout(y, None, 1.0).sum())(x)
    assert_exact(grad, jnp.zeros_like(x))


def test_a_missing_key_is_named():
    with pytest.raises(ValueError, match="needs a random key"):
        stochastic.dropout(jnp.ones(3), None, 0.5)


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_that_is_no_probability_is_refused(rate):
    with pytest.raises(ValueError, match=r"^dropout_rate must be in the range \[0, 1\], got"):
        stochastic.dropout(jnp.ones(3), jax.random.key(0), rate)


def test_an_axis_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="does not exist"):
        stochastic.dropout(jnp.ones(3), jax.random.key(0), 0.5, (1,))


def test_eager_and_compiled_draws_agree():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 7)), jnp.float32)
    key = jax.random.key(3)
    compiled = jax.jit(lambda y, k: stochastic.dropout(y, k, 0.5))(x, key)
    assert_exact(stochastic.dropout(x, key, 0.5), compiled)


def test_a_rate_may_be_an_array_and_traced():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 7)), jnp.float32)
    key = jax.random.key(3)
    run = jax.jit(lambda rate: stochastic.dropout(x, key, rate))
    for rate in (0.0, 0.25, 1.0):
        want = stochastic.dropout(x, key, rate)
        assert_close(run(rate), want)
        assert_exact(stochastic.dropout(x, key, jnp.float32(rate)), want)
        slope = jax.jit(jax.grad(lambda x, r: stochastic.dropout(x, key, r).sum()))(x, rate)
        assert bool(jnp.isfinite(slope).all())
    with pytest.raises(ValueError, match="needs a random key"):
        jax.jit(lambda rate: stochastic.dropout(x, None, rate))(0.5)
