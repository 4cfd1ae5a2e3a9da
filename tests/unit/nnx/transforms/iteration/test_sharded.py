"""pmap: static arguments."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact

from ramie import nnx

DEVICES = jax.device_count()
X = jnp.ones((DEVICES, 2))


@pytest.mark.parametrize("place", [1, -1, (1,), [-1]])
@pytest.mark.parametrize("in_axes", [0, (0, None)])
def test_static_arguments_are_found_from_either_end(place, in_axes):
    def scaled(x, factor):
        assert isinstance(factor, int)
        return x * factor

    mapped = nnx.pmap(scaled, in_axes=in_axes, static_broadcasted_argnums=place)
    assert_exact(mapped(X, 3), 3 * X)
    assert_exact(mapped(X, 4), 4 * X)


def test_equal_static_arguments_of_other_classes_are_others():
    @nnx.pmap(static_broadcasted_argnums=1)
    def kind(x, flag):
        return x + 1 if isinstance(flag, bool) else x

    assert_exact(kind(X, 1), X)
    assert_exact(kind(X, True), X + 1)
