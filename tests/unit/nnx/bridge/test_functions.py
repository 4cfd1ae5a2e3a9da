"""NNX modules as pairs of functions."""

import jax.numpy as jnp
import pytest

from ramie import nnx
from ramie.nnx import bridge

X = jnp.arange(6.0).reshape(2, 3)


def test_functional():
    pair = bridge.functional(nnx.Linear)(3, 2)
    with pytest.raises(ValueError, match="call init"):
        pair.apply(nnx.State({}))
    state = pair.init(rngs=nnx.Rngs(0))
    output, _ = pair.apply(state)(X)
    assert output.shape == (2, 2)
