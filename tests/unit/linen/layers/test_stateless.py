"""Dropout, PReLU and Sequential."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie import errors

KEY = jax.random.key(0)
X = jnp.ones((4, 6))


def test_dropout_needs_a_stream_only_when_it_draws():
    for layer in (nn.Dropout(0.0), nn.Dropout(1.0)):
        layer.apply({}, X, deterministic=False)
    assert_exact(nn.Dropout(0.5).apply({}, X, deterministic=True), X)
    with pytest.raises(errors.InvalidRngError, match="noise"):
        nn.Dropout(0.5, rng_collection="noise").apply({}, X, deterministic=False)


def test_dropout_takes_a_key_in_place_of_its_stream():
    layer = nn.Dropout(0.5, deterministic=False)
    got = layer.apply({}, X, rng=jax.random.key(3))
    assert_exact(layer.apply({}, X, rng=jax.random.key(3), rngs={"dropout": KEY}), got)


def test_dropout_is_told_its_mode_once():
    with pytest.raises(ValueError, match="deterministic"):
        nn.Dropout(0.5).apply({}, X)
    with pytest.raises(ValueError, match="deterministic"):
        nn.Dropout(0.5, deterministic=True).apply({}, X, deterministic=True)


def test_a_rate_that_is_no_probability_is_refused():
    with pytest.raises(ValueError, match=r"^dropout_rate must be in the range"):
        nn.Dropout(1.5).apply({}, X, deterministic=True)


def test_prelu_starts_with_the_slope_asked_for():
    y, variables = nn.PReLU(negative_slope_init=0.25).init_with_output(KEY, jnp.array([-4.0, 4.0]))
    assert_exact(y, jnp.array([-1.0, 4.0]))
    assert_exact(variables["params"]["negative_slope"], jnp.float32(0.25))


def test_layers_hand_on_tuples_and_dictionaries():
    layers = [
        lambda x, *, times: (x, times),
        lambda x, times: {"a": x, "b": times},
        lambda a, b: [a * b],
        lambda items: items[0],
    ]
    assert nn.Sequential(layers).apply({}, 3, times=2) == 6


def test_layers_are_named_by_position_and_functions_may_make_more():
    variables = nn.Sequential([nn.Dense(2), nn.relu, nn.Dense(2)]).init(KEY, X)
    assert set(variables["params"]) == {"layers_0", "layers_2"}
    made = nn.Sequential([lambda x: nn.Dense(2)(x), lambda x: nn.Dense(2)(x)]).init(KEY, X)
    assert set(made["params"]) == {"Dense_0", "Dense_1"}


def test_layers_that_are_no_sequence_are_refused():
    with pytest.raises(ValueError, match="must be a sequence"):
        nn.Sequential(nn.Dense(2))
    with pytest.raises(ValueError, match="Empty Sequential"):
        nn.Sequential([]).init(KEY, X)


def test_a_rate_of_dropout_may_follow_a_schedule():
    def run(rate):
        return nn.Dropout(rate, deterministic=False).apply({}, X, rngs={"dropout": KEY})

    assert_close(jax.jit(run)(0.5), run(0.5))
    assert_exact(jax.jit(lambda rate: nn.Dropout(rate, deterministic=True).apply({}, X))(0.5), X)
