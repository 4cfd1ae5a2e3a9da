"""Norms of weights against their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close

from ramie.ops.weight_norm import spectral_normalize, weight_normalize


def _weight(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("kept, reduced", [(-1, (0, 1)), ((0, 2), (1,)), (None, (0, 1, 2))])
def test_directions_have_the_lengths_asked_for(kept, reduced):
    weight = _weight(3, 4, 5)
    kept_axes = [a for a in range(3) if a not in reduced]
    lengths = jnp.abs(_weight(*(weight.shape[a] for a in kept_axes), seed=1)) + 0.5
    got = weight_normalize(weight, lengths, feature_axes=kept)
    assert_close(jnp.sqrt((got**2).sum(reduced)), lengths, "op")
    without = weight_normalize(weight, feature_axes=kept)
    assert_close(jnp.sqrt((without**2).sum(reduced)), jnp.ones_like(lengths), "op")


def test_power_iteration_finds_the_largest_singular_value():
    weight = _weight(6, 4)
    largest = np.linalg.svd(np.asarray(weight, np.float64), compute_uv=False)[0]
    y, u, sigma = spectral_normalize(weight, jnp.ones((1, 4)), n_steps=200)
    assert_close(sigma, np.float32(largest), "model")
    assert_close(y, weight / np.float32(largest), "model")
    assert u.shape == (1, 4)


def test_tensors_are_matrices_of_their_last_axis():
    weight = _weight(2, 3, 4)
    y, _, _ = spectral_normalize(weight, jnp.ones((1, 4)), n_steps=3)
    flat, _, _ = spectral_normalize(weight.reshape(6, 4), jnp.ones((1, 4)), n_steps=3)
    assert_close(y, flat.reshape(2, 3, 4), "exact")


def test_a_weight_of_zeros_stays_zero():
    y, _, sigma = spectral_normalize(jnp.zeros((3, 2)), jnp.ones((1, 2)))
    assert float(sigma) == 0.0
    assert not np.asarray(y).any()


def test_the_vectors_are_constants_to_gradients():
    weight, u = _weight(5, 3), _weight(1, 3, seed=1)
    grad = jax.grad(lambda v: spectral_normalize(weight, v)[0].sum())(u)
    assert not np.asarray(grad).any()


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="at least one step"):
        spectral_normalize(jnp.ones((3, 2)), jnp.ones((1, 2)), n_steps=0)


def test_the_dtype_is_the_one_asked_for():
    assert weight_normalize(_weight(3, 2), dtype=jnp.bfloat16).dtype == jnp.bfloat16
    y, u, sigma = spectral_normalize(_weight(3, 2), jnp.ones((1, 2)), dtype=jnp.bfloat16)
    assert (y.dtype, u.dtype, sigma.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
