"""Attention against its formula in NumPy, and masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie.ops.attention import dot_product as attention


def _qkv(batch=(2,), q=4, k=5, heads=3, depth=6, out=7):
    rng = np.random.default_rng(0)
    shapes = [(*batch, q, heads, depth), (*batch, k, heads, depth), (*batch, k, heads, out)]
    arrays = [rng.normal(size=s) for s in shapes]
    return arrays, [jnp.asarray(a, jnp.float32) for a in arrays]


def _weights(q, k, bias=0.0, keep=True):
    scores = np.einsum("...qhd,...khd->...hqk", q, k) / np.sqrt(q.shape[-1]) + bias
    scores = np.where(keep, scores, -np.inf)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_weights_and_values(batch):
    (q, k, v), arrays = _qkv(batch)
    got = attention.attention_weights(*arrays[:2])
    want = _weights(q, k)
    assert_close(got, want.astype(np.float32), "op")
    y = attention.apply_weights(got, arrays[2])
    assert_close(y, np.einsum("...hqk,...khd->...qhd", want, v).astype(np.float32), "op")


@pytest.mark.parametrize("dtype", [bool, np.float32, np.int32])
def test_bias_and_mask_broadcast(dtype):
    (q, k, _), arrays = _qkv()
    rng = np.random.default_rng(1)
    bias = rng.normal(size=(1, 3, 1, 5))
    keep = rng.random((2, 1, 4, 5)) < 0.6
    keep[..., 0] = True
    got = attention.attention_weights(
        *arrays[:2], jnp.asarray(bias, jnp.float32), jnp.asarray(keep, dtype)
    )
    assert_close(got, _weights(q, k, bias, keep).astype(np.float32), "op")


def test_a_query_that_may_look_nowhere_looks_everywhere_alike():
    _, (q, k, _) = _qkv()
    got = attention.attention_weights(q, k, None, jnp.zeros((2, 1, 4, 5), bool))
    assert_close(got, jnp.full((2, 3, 4, 5), 0.2), "op")


def test_own_products_are_used():
    _, (q, k, v) = _qkv()
    calls = []

    def product(*args, **kwargs):
        calls.append(kwargs)
        return jax.lax.dot_general(*args, **kwargs)

    def einsum(equation, *operands):
        calls.append(equation)
        return jnp.einsum(equation, *operands)

    weights = attention.attention_weights(q, k)
    y = attention.apply_weights(weights, v)
    assert_close(attention.attention_weights(q, k, dot_general=product), weights, "op")
    assert_close(attention.apply_weights(weights, v, dot_general=product), y, "op")
    assert_close(attention.attention_weights(q, k, einsum=einsum), weights, "op")
    assert_close(attention.apply_weights(weights, v, einsum=einsum), y, "op")
    named = [c for c in calls if isinstance(c, str)]
    assert named == [attention.SCORES, attention.VALUES]
    assert {"preferred_element_type": jnp.dtype("float32")} in calls


def test_softmax_in_float32_leaves_the_weights_there():
    _, (q, k, _) = _qkv()
    half = attention.attention_weights(q, k, dtype=jnp.bfloat16)
    full = attention.attention_weights(q, k, dtype=jnp.bfloat16, in_float32=True)
    assert (half.dtype, full.dtype) == (jnp.bfloat16, jnp.float32)
    assert_close(full.sum(-1), jnp.ones((2, 3, 4)), "op")


def test_the_weights_of_one_query_ignore_the_maximum_for_gradients():
    _, (q, k, _) = _qkv()
    compiled = jax.jit(jax.grad(lambda x: attention.attention_weights(x, k)[..., 0].sum()))
    eager = jax.grad(lambda x: attention.attention_weights(x, k)[..., 0].sum())
    assert_close(eager(q), compiled(q), "op")


def test_dropout_factors_are_shared_or_not():
    shape = (2, 3, 16, 16)
    shared = attention.dropout_factor(jax.random.key(0), 0.25, shape, jnp.float32)
    single = attention.dropout_factor(jax.random.key(0), 0.25, shape, jnp.float32, False)
    assert (shared.shape, single.shape) == ((1, 1, 16, 16), shape)
    assert set(np.unique(single)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    everything = attention.dropout_factor(jax.random.key(0), 1.0, shape, jnp.float32)
    assert not np.asarray(everything).any()


def test_dropout_without_a_key_is_refused():
    with pytest.raises(ValueError, match="needs a random key"):
        attention.dropout_factor(None, 0.5, (2, 2), jnp.float32)
    with pytest.raises(ValueError, match=r"^dropout_rate must be in the range"):
        attention.dropout_factor(jax.random.key(0), 1.5, (2, 2), jnp.float32)


def test_causal_masks():
    want = np.tril(np.ones((4, 4)))
    assert_exact(attention.make_causal_mask(jnp.ones((2, 4)))[1, 0], want.astype(np.float32))
    mask = attention.make_causal_mask(np.ones(4), extra_batch_dims=2, dtype=bool)
    assert_exact(mask, want.astype(bool)[None, None, None])


def test_attention_masks_relate_queries_and_keys():
    a, b = np.array([[1, 2, 3]]), np.array([[2, 3]])
    got = attention.make_attention_mask(a, b, jnp.less_equal, extra_batch_dims=1, dtype=jnp.int32)
    assert_exact(got, (a[..., :, None] <= b[..., None, :]).astype(np.int32)[None, :, None])


def test_masks_combine_to_what_all_let_through():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 1, 3, 4)) < 0.5, rng.random((1, 1, 3, 4)) < 0.5
    got = attention.combine_masks(jnp.asarray(a), None, jnp.asarray(b, jnp.float32))
    assert_exact(got, (a & b).astype(np.float32))
    assert attention.combine_masks(None, None) is None
    assert_exact(attention.combine_masks(jnp.asarray(a), dtype=bool), a)
    with pytest.raises(ValueError, match="same rank"):
        attention.combine_masks(jnp.ones((2, 3)), jnp.ones(3))
