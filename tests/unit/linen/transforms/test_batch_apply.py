"""BatchApply: what is merged, what is left alone, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

import ramie.linen as nn

X = jnp.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("num_dims", [1, 2, 3])
def test_axes_are_merged_and_restored(num_dims):
    seen = []
    out = nn.BatchApply(lambda x: seen.append(x.shape) or 2 * x, num_dims)(X)
    assert seen == [((2, 3, 4), (6, 4), (24,))[num_dims - 1]]
    assert_exact(out, 2 * X)


def test_what_is_too_small_passes_as_it_is():
    def function(x, vector, number, nothing, *, other):
        assert x.shape == (6, 4)
        assert vector.shape == (4,)
        assert (number, nothing) == (2.0, None)
        assert other["a"].shape == (6,)
        return {"sum": x + vector[None] * number, "other": other["a"]}

    out = nn.BatchApply(function)(X, jnp.ones(4), 2.0, None, other={"a": np.ones((2, 3))})
    assert_exact(out["sum"], X + 2)
    assert_exact(out["other"], np.ones((2, 3)))


def test_modules_under_transformations():
    layer = nn.Dense(5)
    variables = layer.init(jax.random.key(0), X)

    @jax.jit
    def apply(variables, x):
        return nn.BatchApply(layer.bind(variables))(x)

    assert_exact(apply(variables, X).shape, (2, 3, 5))


def test_errors():
    with pytest.raises(ValueError, match="requires at least one input with ndim >= 2"):
        nn.BatchApply(lambda: 1)()
    with pytest.raises(ValueError, match=r"requires at least one .* got the shapes \[\(3,\)\]"):
        nn.BatchApply(lambda x: x)(jnp.ones(3))
    with pytest.raises(ValueError, match="num_dims=0"):
        nn.BatchApply(lambda x: x, 0)
    for wrong in (jnp.sum, lambda x: x[:5]):
        with pytest.raises(ValueError, match=r"does not begin with the merged axis of size 6"):
            nn.BatchApply(wrong)(X)
