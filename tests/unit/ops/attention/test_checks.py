"""Shapes and rates that attention refuses."""

import jax.numpy as jnp
import pytest

from ramie.ops.attention.checks import check_dropout_rate, check_inputs


@pytest.mark.parametrize(
    "q, k, v, message",
    [
        ((2, 4, 3, 6), (2, 5, 3), None, "same rank"),
        ((4, 6), (4, 6), None, "same rank"),
        ((2, 4, 3, 6), (1, 5, 3, 6), None, "batch dims"),
        ((2, 4, 3, 6), (2, 5, 1, 6), None, "^q, k, v num_heads must match"),
        ((2, 4, 3, 6), (2, 5, 3, 7), None, "depth"),
        ((2, 4, 3, 6), (2, 5, 3, 6), (2, 4, 3, 6), "length"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(q, k, v, message):
    with pytest.raises(ValueError, match=message):
        check_inputs(*(None if s is None else jnp.ones(s) for s in (q, k, v)))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_rates_that_leave_no_weight_are_refused(rate):
    with pytest.raises(ValueError, match="some weights have to stay"):
        check_dropout_rate(rate)


def test_rates_that_leave_weights_are_taken():
    check_dropout_rate(0.0)
    check_dropout_rate(0.99)
