"""Layers that multiply in fp8: what they store, how training moves it, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie.linen import fp8_ops
from ramie.training.train_state import TrainState

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3)), jnp.float32)
NAMES = ["input", "kernel", "output_grad"]


def test_variables():
    layer = nn.DenseGeneral(5, dot_general_cls=nn.NANOOFp8DotGeneralOp)
    variables = jax.eval_shape(layer.init, KEY, X)
    stored = variables[fp8_ops.OVERWRITE_WITH_GRADIENT]["NANOOFp8DotGeneralOp_0"]
    shapes = {name: value.shape for name, value in stored.items()}
    assert shapes == {
        **{f"{name}_amax_history": (1024,) for name in NAMES},
        **{f"{name}_scale": (1,) for name in NAMES},
    }
    assert fp8_ops.Fp8DotGeneral is nn.Fp8DirectDotGeneralOp
    assert nn.Fp8DotGeneral.__name__ == "Fp8DirectDotGeneralOp"


def test_dtypes_follow_the_second_factor():
    layer = nn.Fp8DotGeneral(amax_history_length=2)
    dims = (((1,), (0,)), ((), ()))

    def result(first, second):
        args = X.astype(first), jnp.ones((3, 5), second), dims
        return jax.eval_shape(lambda: layer.init_with_output(KEY, *args)[0]).dtype

    assert result(jnp.float32, jnp.bfloat16) == jnp.bfloat16
    assert result(jnp.bfloat16, jnp.float32) == jnp.float32
    assert result(jnp.int32, jnp.float16) == jnp.float16


def test_training_replaces_scales_and_trains_the_rest():
    layer = nn.Dense(5, dot_general_cls=nn.Fp8DotGeneral)
    variables = jax.jit(layer.init)(KEY, X)
    state = TrainState.create(apply_fn=layer.apply, params=variables, tx=optax.sgd(0.1))

    @jax.jit
    def step(state):
        grads = jax.grad(lambda v: jnp.sum(layer.apply(v, X)))(state.params)
        return state.apply_gradients(grads=grads), grads

    state, grads = step(state)
    collection = fp8_ops.OVERWRITE_WITH_GRADIENT
    stored = state.params[collection]["Fp8DirectDotGeneralOp_0"]
    assert_exact(stored["input_amax_history"][0], jnp.max(jnp.abs(X)))
    kernel = variables["params"]["kernel"]
    assert_exact(stored["kernel_amax_history"][0], jnp.max(jnp.abs(kernel)))
    assert_exact(stored["output_grad_amax_history"][0], jnp.float32(1))
    assert_exact(stored["input_scale"], jnp.ones(1))
    want = kernel - jnp.float32(0.1) * grads["params"]["kernel"]
    assert_close(state.params["params"]["kernel"], want)


def test_einsum():
    y, _ = nn.Fp8Einsum(2).init_with_output(KEY, "bi,io->ob", jnp.ones((2, 3)), jnp.ones((3, 5)))
    assert_exact(y, 3 * np.ones((5, 2), np.float32))


def test_errors():
    with pytest.raises(ValueError, match="amax_history_length=0"):
        nn.Fp8DotGeneral(0).init(KEY, X, X.T, (((1,), (0,)), ((), ())))
    with pytest.raises(ValueError, match="got 2 positional arguments"):
        nn.Fp8DotGeneral(2).init(KEY, X, X.T)
    with pytest.warns(DeprecationWarning, match="Use Fp8DirectDotGeneralOp"):
        nn.Fp8DotGeneralOp()
