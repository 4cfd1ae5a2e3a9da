"""Eager norms and attention keep the bits of their single operations, in programs without fusion.

`jax.disable_jit` shows the single operations. Shapes are chosen on both sides of the sizes from
which XLA hands reductions to a library.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie.ops import norm
from ramie.ops.attention import dot_product as attention

pytestmark = pytest.mark.optimised

SHAPES = [(1, 1), (7,), (4, 3, 6), (3, 1000), (2, 4, 16, 64), (64, 32, 16)]


def _arrays(*shapes):
    rng = np.random.default_rng(sum(map(sum, shapes)))
    return [jnp.asarray(rng.normal(0.3, 1.7, s), jnp.float32) for s in shapes]


def _same_bits(call):
    got = call()
    with jax.disable_jit():
        want = call()
    for a, b in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(want), strict=True):
        assert_exact(a, b)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("fast", [True, False])
def test_layer_norm(shape, dtype, fast):
    x, scale, bias = _arrays(shape, shape[-1:], shape[-1:])
    x = x.astype(dtype)
    _same_bits(lambda: norm.layer_norm(x, scale, bias, use_fast_variance=fast))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rms_norm(shape, dtype):
    x, scale = _arrays(shape, shape[-1:])
    x = x.astype(dtype)
    _same_bits(lambda: norm.layer_norm(x, scale, use_mean=False))


@pytest.mark.parametrize("shape", [s for s in SHAPES if len(s) > 1], ids=str)
def test_batch_norm(shape):
    features = shape[-1:]
    x, mean, var, scale, bias = _arrays(shape, *[features] * 4)
    _same_bits(lambda: norm.batch_norm_update(x, mean, var**2, scale, bias))
    _same_bits(lambda: norm.batch_norm(x, mean, var**2, scale, bias))


@pytest.mark.parametrize("shape", [(4, 3, 6), (2, 4, 16, 64), (8, 100, 48)], ids=str)
def test_group_norm(shape):
    x, scale, bias = _arrays(shape, shape[-1:], shape[-1:])
    _same_bits(lambda: norm.group_norm(x, scale, bias, num_groups=2))


@pytest.mark.parametrize(
    "batch, q, k, heads, depth",
    [(1, 1, 1, 1, 1), (2, 5, 7, 2, 3), (2, 16, 16, 4, 8), (1, 33, 128, 2, 33), (2, 128, 64, 2, 16)],
)
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_attention(batch, q, k, heads, depth, biased, masked):
    query, key, value, bias = _arrays(
        (batch, q, heads, depth),
        (batch, k, heads, depth),
        (batch, k, heads, depth),
        (batch, heads, q, k),
    )
    mask = jnp.asarray(np.random.default_rng(0).random((batch, 1, q, k)) < 0.7)

    def attend():
        weights = attention.attention_weights(
            query, key, bias if biased else None, mask if masked else None
        )
        return weights, attention.apply_weights(weights, value, weights)

    _same_bits(attend)
