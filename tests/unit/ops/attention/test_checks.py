"""Shapes and rates that attention refuses."""

import jax.numpy as jnp
import pytest

from ramie.ops.attention.checks import check_dropout_rate, check_inputs, check_scores


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


@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 5), (2, 1, 4, 6), (3, 1, 4, 5), (2, 3, 4, 5, 1)])
@pytest.mark.parametrize("name", ["bias", "mask"])
def test_what_does_not_fit_the_scores_is_refused(name, shape):
    q, k = jnp.ones((2, 4, 3, 6)), jnp.ones((2, 5, 3, 6))
    given = {"bias": None, "mask": None, name: jnp.ones(shape)}
    with pytest.raises(
        ValueError, match=rf"The {name} of shape .* \(2, 3, 4, 5\).*{name}\[:, None\]"
    ):
        check_scores(q, k, **given)


@pytest.mark.parametrize("shape", [(), (4, 5), (1, 5), (3, 1, 5), (2, 1, 4, 5), (2, 3, 4, 5)])
def test_what_fits_the_scores_is_taken(shape):
    check_scores(jnp.ones((2, 4, 3, 6)), jnp.ones((2, 5, 3, 6)), bias=None, mask=jnp.ones(shape))


def test_more_batch_entries_than_there_are_fit_where_they_are_allowed():
    q, k, mask = jnp.ones((1, 4, 3, 6)), jnp.ones((1, 5, 3, 6)), jnp.ones((2, 1, 4, 5))
    check_scores(q, k, bias=None, mask=mask, wider=True)
    with pytest.raises(ValueError, match="does not fit"):
        check_scores(q, k, bias=None, mask=mask)
