"""What is known of an initializer without running it: whether a value has the shapes it gives."""

import jax
import jax.numpy as jnp
import pytest

from ramie.core.scope.shapes import expected_shapes, mismatch


def pair(key, size):
    del key
    return {"a": jnp.zeros((size,)), "b": jnp.zeros((size, 1))}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (jnp.zeros((2, 3)), None),
        (jnp.zeros((3, 2)), ((3, 2), (2, 3))),
        ([jnp.zeros((2, 3))], None),
        ([jnp.zeros((2, 3)), jnp.zeros(1)], (((2, 3), (1,)), ((2, 3),))),
        (1.0, ((), (2, 3))),
    ],
)
def test_a_value_is_compared_leaf_by_leaf(value, found):
    assert mismatch(value, jax.nn.initializers.normal(), ((2, 3),), {}) == found


def test_the_first_leaf_that_differs_is_told():
    given = {"a": jnp.zeros(4), "b": jnp.zeros((5, 1))}
    assert mismatch(given, pair, (4,), {}) == ((5, 1), (4, 1))
    assert mismatch(pair(None, 4), pair, (4,), {}) is None
    assert mismatch(pair(None, 4), pair, (), {"size": 4}) is None


def test_shapes_are_those_of_the_leaves_in_order():
    assert expected_shapes(pair, (3,), {}) == ((3,), (3, 1))
