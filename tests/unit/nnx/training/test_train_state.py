"""The train state of the functional style."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.tolerance import assert_exact

from ramie import nnx


class _State(nnx.TrainState):
    statistics: nnx.State


class _Net(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.array(2.0))
        self.calls = nnx.BatchStat(jnp.array(0))

    def __call__(self, x):
        self.calls[...] += 1
        return x * self.w

    def doubled(self, x):
        return x * self.w * 2


def _state():
    graphdef, params, statistics = nnx.split(_Net(), nnx.Param, ...)
    return _State.create(graphdef, params=params, tx=optax.sgd(0.5), statistics=statistics, step=3)


def test_calls_return_output_and_state():
    state = _state()
    y, (graphdef, after) = state.apply("params", "statistics")(3.0)
    assert_exact(y, np.float32(6))
    assert_exact(after.calls[...], np.int32(1))
    assert graphdef == state.graphdef
    assert_exact(state.apply(state.params, "statistics").doubled(1.0)[0], np.float32(4))
    with pytest.raises(AttributeError, match="nothing"):
        state.apply("params", "nothing")


def test_steps_replace_parameters_and_fields():
    state = _state()

    @jax.jit
    def step(state):
        grads = jax.tree.map(jnp.ones_like, state.params)
        return state.apply_gradients(grads, statistics=state.statistics)

    after = step(state)
    assert_exact(after.params.w[...], np.float32(1.5))
    assert_exact(state.params.w[...], np.float32(2))
    assert int(after.step) == 4
