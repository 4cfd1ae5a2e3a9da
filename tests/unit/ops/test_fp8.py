"""Quantisation, scales and histories, and the gradients that carry their next values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerance import assert_close, assert_exact

from ramie.ops import fp8

E4M3, E5M2 = jnp.float8_e4m3fn, jnp.float8_e5m2
ONE = jnp.ones(1)
MATMUL = (((1,), (0,)), ((), ()))


@pytest.mark.parametrize(
    ("dtype", "largest"),
    [(E4M3, 448), (E5M2, 57344), (jnp.float8_e4m3fnuz, 240), (jnp.float8_e5m2fnuz, 57344)],
)
def test_the_largest_number_of_a_format(dtype, largest):
    assert fp8.get_fp8_max(dtype, jnp.float32) == largest
    big = jnp.array([1e6, -1e6, 0.0])
    assert_exact(fp8.qdq(big, dtype, ONE, jnp.float32), np.float32([largest, -largest, 0]))


def test_other_formats_are_refused():
    with pytest.raises(ValueError, match="float16 is no fp8 format"):
        fp8.get_fp8_max(jnp.float16, jnp.float32)


@given(st.lists(st.floats(-400, 400, width=32), min_size=4, max_size=4))
@settings(max_examples=10, deadline=None)
def test_rounding_keeps_three_bits(values):
    x = np.float32(values)
    got = np.asarray(fp8.qdq(jnp.asarray(x), E4M3, ONE, jnp.float32))
    # Half of the last place: 2**-4 relative, 2**-10 below the smallest normal number.
    assert np.all(np.abs(got - x) <= np.maximum(np.abs(x) * 2.0**-4, 2.0**-10))
    assert_exact(fp8.qdq(jnp.asarray(got), E4M3, ONE, jnp.float32), got)


def test_a_scale_moves_the_range():
    x = jnp.array([4480.0, 1.25, -10.0])
    assert_exact(fp8.quantize(x, E4M3, jnp.array([10.0]), jnp.float32)[0], jnp.array(448.0, E4M3))
    assert_close(fp8.qdq(x, E4M3, jnp.array([10.0]), jnp.float32), x)


def test_the_scale_makes_the_largest_magnitude_fit():
    assert_close(fp8.compute_scale(jnp.float32(7.0), ONE, 448.0), np.float32([7 / 448]))
    assert_close(fp8.compute_scale(jnp.float32(7.0), ONE, 448.0, 3), np.float32([56 / 448]))
    for useless in (0.0, -1.0, np.inf, np.nan):
        kept = fp8.compute_scale(jnp.float32(useless), jnp.array([0.5]), 448.0)
        assert_exact(kept, np.float32([0.5]))


def test_a_history_remembers_its_length():
    history = jnp.zeros(3)
    for newest in (5.0, 3.0, 4.0):
        history = fp8.compute_amax_history(jnp.array([newest, -1.0]), history)
    assert sorted(history.tolist()) == [3.0, 4.0, 5.0]
    assert float(history[0]) == 4.0
    history = fp8.compute_amax_history(jnp.array([-2.0]), history)
    assert sorted(history.tolist()) == [2.0, 3.0, 4.0]
    assert fp8.compute_amax_history(jnp.array([2.0]), jnp.zeros(1)).tolist() == [2.0]


def test_scale_lags_one_step_behind():
    scale, history = fp8.update_fp8_meta(jnp.array([9.0]), E4M3, ONE, jnp.array([2.0, 0.0]))
    assert_close(scale, np.float32([2 / 448]))
    assert history.tolist() == [9.0, 2.0]


def test_gradients_are_the_next_scale_and_history():
    x, history = jnp.array([3.0, -8.0]), jnp.array([2.0, 4.0])
    want = fp8.update_fp8_meta(x, E4M3, ONE, history)

    def rounded(x, scale, history):
        return jnp.sum(2 * fp8.in_qdq(jnp.float32, E4M3, x, scale, history))

    grads = jax.grad(rounded, argnums=(0, 1, 2))(x, ONE, history)
    assert_exact(grads[0], np.float32([2, 2]))
    jax.tree_util.tree_map(assert_exact, grads[1:], want)

    def returned(x, scale, history):
        return jnp.sum(x * fp8.out_qdq(jnp.float32, E5M2, jnp.ones(2), scale, history))

    grads = jax.grad(returned, argnums=(1, 2))(x, ONE, history)
    jax.tree_util.tree_map(assert_exact, grads, fp8.update_fp8_meta(x, E5M2, ONE, history))


def test_scaled_product():
    x, y = jnp.array([[1.0, 2.0], [4.0, 0.5]]), jnp.array([[2.0, 1.0], [1.0, 4.0]])
    history = jnp.array([4.0])
    meta = {
        name: value
        for part in ("lhs", "rhs", "grad")
        for name, value in ((f"{part}_scale", ONE), (f"{part}_amax_history", history))
    }

    def product(x, y, meta):
        return fp8.fp8_scaled_dot_general(x, y, MATMUL, preferred_element_type=jnp.float32, **meta)

    @jax.jit
    def both(g, *args):
        out, pull = jax.vjp(product, *args)
        return out, pull(g)

    g = jnp.array([[1.0, 0.5], [2.0, 4.0]])
    out, (grad_x, grad_y, next_meta) = both(g, x, y, meta)
    assert_close(out, x @ y)
    assert_close(grad_x, g @ y.T)
    assert_close(grad_y, x.T @ g)
    assert_close(next_meta["lhs_scale"], np.float32([4 / 448]))
    assert_close(next_meta["grad_scale"], np.float32([4 / 57344]))
    assert next_meta["rhs_amax_history"].tolist() == [4.0]
    with pytest.raises(ValueError, match="6 of these six arrays are missing"):
        product(x, y, {})


def test_transposed_products_give_the_gradients_of_products():
    x, y = jnp.ones((2, 3, 4, 5)), jnp.ones((4, 2, 6, 3))
    dims = (((2, 1), (0, 3)), ((0,), (1,)))
    _, pull = jax.vjp(lambda x, y: jax.lax.dot_general(x, y, dims), x, y)
    g = jnp.arange(60.0).reshape(2, 5, 6)
    settings = {"dimension_numbers": dims, "precision": None, "preferred_element_type": None}
    want = pull(g)
    assert_close(fp8.dot_general_transpose_lhs(g, x, y, **settings), want[0])
    assert_close(fp8.dot_general_transpose_rhs(g, x, y, **settings), want[1])
