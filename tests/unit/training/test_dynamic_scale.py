"""DynamicScale: right gradients, and a scale that grows and shrinks when it should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie.training.dynamic_scale import DynamicScale, DynamicScaleResult


def squares(w):
    return jnp.sum(w**2)


def test_value_and_gradients_come_back_unscaled():
    w = jnp.array([1.0, -3.0])
    result = DynamicScale().value_and_grad(squares)(w)
    assert isinstance(result, DynamicScaleResult)
    assert bool(result.finite)
    assert_close(result.aux, jnp.array(10.0))
    assert_close(result.grad, 2 * w)


def test_aux_and_argnums():
    def product(a, b, *, shift):
        return jnp.sum(a * b) + shift, {"a": a}

    a, b = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])
    fn = DynamicScale().value_and_grad(product, argnums=(0, 1), has_aux=True)
    _, _, (value, aux), grads = fn(a, b, shift=1.0)
    assert_close(value, jnp.array(12.0))
    assert_exact(aux["a"], a)
    assert_close(grads[0], b)
    assert_close(grads[1], a)


def test_grows_after_enough_finite_steps():
    scale, seen = DynamicScale(growth_interval=2, scale=8.0), []
    for _ in range(6):
        scale = scale.value_and_grad(squares)(jnp.ones(2)).dynamic_scale
        seen.append((float(scale.scale), int(scale.fin_steps)))
    assert seen == [(8, 1), (8, 2), (16, 0), (16, 1), (16, 2), (32, 0)]


def test_shrinks_on_overflow_down_to_the_minimum():
    scale, seen = DynamicScale(scale=64.0, minimum_scale=10.0), []
    for _ in range(4):
        scale, finite, _, _ = scale.value_and_grad(squares)(jnp.array([1.0, jnp.inf]))
        seen.append(float(scale.scale))
        assert not bool(finite)
    assert seen == [32.0, 16.0, 10.0, 10.0]


def test_never_grows_to_infinity():
    scale = DynamicScale(growth_interval=0, scale=2e38)
    scale = scale.value_and_grad(lambda w: jnp.sum(w) * 1e-20)(jnp.ones(2)).dynamic_scale
    assert_exact(scale.scale, np.finfo(np.float32).max)


def test_no_minimum():
    scale = DynamicScale(scale=4.0, minimum_scale=None, backoff_factor=0.25)
    result = scale.value_and_grad(squares)(jnp.array(jnp.nan))
    assert float(result.dynamic_scale.scale) == 1.0


def test_float16_finds_a_scale_it_can_hold():
    def half(w):
        return jnp.sum(w.astype(jnp.float16) ** 2)

    scale = DynamicScale()
    for _ in range(6):
        scale, finite, _, grad = scale.value_and_grad(half)(jnp.ones(3))
        if finite:
            break
    assert bool(finite) and grad.dtype == jnp.float32
    assert_close(grad, jnp.full(3, 2.0))


def test_in_a_compiled_loop():
    def step(scale, w):
        scale, finite, _, grad = scale.value_and_grad(squares)(w)
        return scale, (finite, grad)

    start = DynamicScale(fin_steps=jnp.int32(0), scale=jnp.float32(2.0), growth_interval=1)
    ws = jnp.array([[1.0], [2.0], [jnp.inf], [3.0]])
    scale, (finite, _) = jax.lax.scan(step, start, ws)
    assert finite.tolist() == [True, True, False, True]
    assert (float(scale.scale), int(scale.fin_steps)) == (2.0, 1)


def test_axis_name_averages_before_the_check():
    fn = DynamicScale().value_and_grad(squares, axis_name="batch")
    result = jax.vmap(fn, axis_name="batch")(jnp.array([[1.0], [3.0]]))
    assert_close(result.grad, jnp.array([[4.0], [4.0]]))
    result = jax.vmap(fn, axis_name="batch")(jnp.array([[1.0], [jnp.inf]]))
    assert result.finite.tolist() == [False, False]


def test_only_scale_and_count_are_data():
    leaves = jax.tree_util.tree_leaves_with_path(DynamicScale())
    assert [jax.tree_util.keystr(path) for path, _ in leaves] == [".fin_steps", ".scale"]


def test_keeps_the_name_of_the_function():
    assert DynamicScale().value_and_grad(squares).__name__ == "squares"
    with pytest.raises(TypeError):
        DynamicScale().value_and_grad(squares)(1)
