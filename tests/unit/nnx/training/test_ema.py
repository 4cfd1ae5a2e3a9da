"""Averages over steps: the formula, what is tracked, and the model that has them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import nnx


def _model():
    return nnx.Dict(a=nnx.Param(jnp.array([1.0, 2.0]), note="first"), n=nnx.BatchStat(jnp.array(3)))


def test_averages_follow_the_formula_in_their_element_type():
    model = _model()
    ema = nnx.EMA(model, decay=0.75)
    model.a[...] = jnp.array([5.0, -2.0])
    model.n[...] = jnp.array(7)
    ema.update(model)
    assert_exact(ema.params.a[...], np.array([2.0, 1.0], np.float32))
    assert_exact(ema.params.n[...], np.int32(4))
    assert ema.params.a.note == "first" and type(ema.params.n) is nnx.BatchStat


def test_the_first_averages_are_copies():
    model = _model()
    ema = nnx.EMA(model, 0.5)
    assert ema.params.a is not model.a
    pointers = {x.unsafe_buffer_pointer() for x in (ema.params.a[...], model.a[...])}
    assert len(pointers) == 2


def test_states_and_dictionaries_update_too():
    ema = nnx.EMA(_model(), 0.5, only=nnx.Param)
    ema.update(nnx.State({"a": jnp.zeros(2)}))
    ema.update({"a": jnp.zeros(2), "unknown": jnp.ones(3)})
    assert_exact(ema.params.a[...], np.array([0.25, 0.5], np.float32))
    single = nnx.EMA(nnx.Param(jnp.array(1.0)), 0.5)
    single.update(jnp.array(0.0))
    assert_exact(single.params[...], np.float32(0.5))
    assert single.apply_to(nnx.Param(jnp.array(9.0))) is single.params


def test_the_model_with_averages_shares_them_and_the_rest():
    model = _model()
    ema = nnx.EMA(model, 0.5, only=nnx.Param)
    smooth = ema.apply_to(model)
    assert smooth.a is ema.params.a and smooth.n is model.n and smooth is not model
    model.a[...] = jnp.zeros(2)
    ema.update(model)
    assert_exact(smooth.a[...], np.array([0.5, 1.0], np.float32))


def test_it_works_under_jit():
    model = _model()
    ema = nnx.EMA(model, 0.5)
    graphdef, state = nnx.split(ema)

    @jax.jit
    def step(state, values):
        ema = nnx.merge(graphdef, state)
        ema.update(values)
        return nnx.state(ema)

    nnx.update(ema, step(state, nnx.State({"a": jnp.zeros(2), "n": jnp.array(1)})))
    assert_exact(ema.params.a[...], np.array([0.5, 1.0], np.float32))


def test_what_does_not_fit_is_said():
    with pytest.raises(TypeError, match=r"only supports Variable leaves.*at path 'x'.*`only`"):
        nnx.EMA({"x": jnp.ones(2)}, 0.5)
    ema = nnx.EMA(_model(), 0.5)
    with pytest.raises(ValueError, match="nothing at n, where"):
        ema.update({"a": jnp.zeros(2)})
    with pytest.raises(ValueError, match=r"at 'a' has shape \(3,\).*has shape \(2,\)"):
        ema.update({"a": jnp.zeros(3), "n": jnp.array(1)})
    with pytest.raises(ValueError, match="nothing at n"):
        ema.apply_to(nnx.Dict(a=nnx.Param(jnp.ones(2))))
