"""Pooling against loops over windows in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from tests.tolerance import assert_close, assert_exact

from ramie.ops import pooling


def _reference(x, window, strides, pads, reduce, fill, counted):
    """Pool ``[batch, h, w, c]`` window by window."""
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    inside = np.pad(np.ones(x.shape), ((0, 0), *pads, (0, 0)))
    sizes = [(padded.shape[i + 1] - window[i]) // strides[i] + 1 for i in (0, 1)]
    out = np.zeros((x.shape[0], *sizes, x.shape[3]))
    for i, j in itertools.product(*map(range, sizes)):
        rows = slice(i * strides[0], i * strides[0] + window[0])
        columns = slice(j * strides[1], j * strides[1] + window[1])
        value = reduce(padded[:, rows, columns], axis=(1, 2))
        places = window[0] * window[1] if counted else inside[:, rows, columns].sum((1, 2))
        out[:, i, j] = value / places if reduce is np.sum else value
    return out.astype(np.float32)


@settings(max_examples=6, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 2)),
    st.tuples(*[st.tuples(st.integers(0, 1), st.integers(0, 1))] * 2),
    st.sampled_from(["max", "min", "avg", "avg without padding"]),
)
def test_every_window_is_reduced(window, strides, pads, kind):
    pads = tuple(
        (min(low, w - 1), min(high, w - 1)) for (low, high), w in zip(pads, window, strict=True)
    )
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32)
    reduce, fill = {"max": (np.max, -np.inf), "min": (np.min, np.inf)}.get(kind, (np.sum, 0))
    want = _reference(x, window, strides, pads, reduce, fill, counted=kind == "avg")
    if kind.startswith("avg"):
        got = pooling.avg_pool(
            jnp.asarray(x), window, strides, pads, count_include_pad=kind == "avg"
        )
    else:
        got = getattr(pooling, f"{kind}_pool")(jnp.asarray(x), window, strides, pads)
    assert_close(got, want, "op")


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_any_number_of_batch_axes(lead):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(*lead, 4, 4, 3)), jnp.float32)
    for function in (pooling.max_pool, pooling.min_pool, pooling.avg_pool):
        got = function(x, (2, 2), (2, 2), "SAME")
        flat = function(x.reshape(-1, 4, 4, 3), (2, 2), (2, 2), "SAME")
        assert_exact(got, flat.reshape(*lead, 2, 2, 3))


@pytest.mark.parametrize("padding", ["same", "VALID", "SAME_LOWER"])
def test_padding_by_name(padding):
    x = jnp.ones((1, 5, 1))
    counts = pooling.avg_pool(x, (2,), (2,), padding, count_include_pad=True)
    want = {"same": [1, 1, 0.5], "VALID": [1, 1], "SAME_LOWER": [0.5, 1, 1]}[padding]
    assert_exact(counts[0, :, 0], np.asarray(want, np.float32))
    full = pooling.avg_pool(x, (2,), (2,), padding, count_include_pad=False)
    assert_exact(full, jnp.ones_like(full))


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8, jnp.bool_, jnp.float16])
def test_padding_never_wins(dtype):
    x = jnp.ones((1, 3, 1), dtype)
    assert_exact(pooling.max_pool(x, (2,), padding="SAME"), x)
    assert_exact(pooling.min_pool(x, (2,), padding="SAME"), x)


def test_averages_of_integers_are_floats():
    x = jnp.arange(4).reshape(1, 4, 1)
    assert_exact(pooling.avg_pool(x, (2,)), np.array([0.5, 1.5, 2.5], np.float32)[None, :, None])


def test_any_reduction_can_be_given():
    x = jnp.full((1, 3, 3, 1), 2.0)
    assert_exact(
        pooling.pool(x, 1.0, lambda a, b: a * b, (2, 2), None, "VALID"),
        jnp.full((1, 2, 2, 1), 16.0),
    )


def test_gradients_reach_the_winners():
    x = jnp.arange(6.0).reshape(6, 1)
    grad = jax.grad(lambda y: pooling.max_pool(y, (2,), (2,)).sum())(x)
    assert_exact(grad[:, 0], np.array([0, 1, 0, 1, 0, 1], np.float32))
    grad = jax.grad(lambda y: pooling.avg_pool(y, (2,), (2,), count_include_pad=False).sum())(x)
    assert_exact(grad, jnp.full_like(x, 0.5))


@pytest.mark.parametrize(
    "window, strides, padding, message",
    [
        ((2, 2, 2), None, "VALID", "too few axes"),
        ((2,), (1, 1), "VALID", "one entry per axis"),
        (2, None, "VALID", "window_shape=2 must be a sequence"),
        ((2,), 2, "VALID", "strides=2 must be a sequence"),
        ((2,), None, "FULL", "is none of 'SAME'"),
        ((2,), None, 1, "must be a mode or a sequence of pairs"),
        ((2,), None, ((1, 1), (1, 1)), "one pair per axis"),
        ((2,), None, ((1,),), "must be a mode or a sequence of pairs"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(window, strides, padding, message):
    with pytest.raises(ValueError, match=message):
        pooling.pool(jnp.ones((3, 4)), 0.0, lax.add, window, strides, padding)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_averages_of_sixteen_bits_are_made_in_float32(dtype, count_include_pad, jit):
    values = np.random.default_rng(0).random((2, 40, 40, 3)) + 1
    x = jnp.asarray(values, dtype)

    def run(x):
        return pooling.avg_pool(x, (40, 40), count_include_pad=count_include_pad)

    got = (jax.jit(run) if jit else run)(x)
    want = np.asarray(x, np.float32).mean((1, 2), keepdims=True, dtype=np.float64)
    assert got.dtype == (dtype if count_include_pad else jnp.float32)
    assert_close(got.astype(dtype), jnp.asarray(want, dtype))
