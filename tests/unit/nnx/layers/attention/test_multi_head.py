"""Attention: groups of heads, masks, dropout, the cache, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify
from tests.tolerance import assert_close, assert_exact

from ramie import nnx
from ramie.nnx.layers.attention.dot_product import dot_product_attention_weights
from ramie.ops.attention.dot_product import causal_mask, fused_attention

RNG = np.random.default_rng(0)
Q = RNG.standard_normal((2, 3, 4, 4)).astype(np.float32)
K, V = RNG.standard_normal((2, 2, 5, 2, 4)).astype(np.float32)
X = RNG.standard_normal((2, 3, 8)).astype(np.float32)


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _attended(seen):
    """Attention in NumPy, keys and values repeated for each head of the queries."""
    k, v = (np.repeat(x, 2, axis=2) for x in (K, V))
    scores = np.einsum("bqhd,bkhd->bhqk", Q, k) / 2
    weights = _softmax(np.where(seen, scores, -1e30))
    return weights, np.einsum("bhqk,bkhd->bqhd", weights, v)


@pytest.mark.parametrize("is_causal", [False, True])
def test_heads_of_keys_serve_groups_of_queries(is_causal):
    seen = np.tril(np.ones((3, 5), bool)) if is_causal else np.ones((3, 5), bool)
    weights, want = _attended(seen)
    assert_close(nnx.dot_product_attention(Q, K, V, is_causal=is_causal), want)
    got = dot_product_attention_weights(Q, K, is_causal=is_causal)
    assert_close(got, weights)
    keeper = nnx.Dict()
    assert_close(nnx.dot_product_attention(Q, K, V, module=keeper, is_causal=is_causal), want)
    assert_exact(keeper.attention_weights[...][0], got)


def test_several_batch_axes_and_masks_of_one():
    mask = RNG.random((1, 1, 1, 3, 5)) < 0.8
    bias = RNG.standard_normal((2, 1, 4, 3, 5)).astype(np.float32)
    got = fused_attention(Q[:, None], K[:, None], V[:, None], bias, mask)
    assert_close(got[:, 0], fused_attention(Q, K, V, bias[:, 0], mask[:, 0]))


def test_values_may_have_another_depth():
    got = nnx.dot_product_attention(Q, K, V[..., :3])
    assert_close(got, nnx.dot_product_attention(Q, K, V)[..., :3])


def test_causal_masks_join_others():
    other = np.ones((2, 1, 3, 5), np.float32)
    other[..., 0] = 0
    got = causal_mask(Q, K, other)
    assert_exact(got, np.tril(np.ones((2, 1, 3, 5), bool)) & other.astype(bool))


@pytest.mark.parametrize(
    ("q", "k", "v", "message"),
    [
        (Q, K[0], V[0], "same rank"),
        (Q, K[:1], V[:1], "batch dims must match"),
        (Q, K, V[:, :4], "lengths must match"),
        (Q, K[..., :3], V, "depths must match"),
        (Q[:, :, :3], K, V, "must be a multiple"),
    ],
)
def test_what_does_not_fit_is_refused(q, k, v, message):
    with pytest.raises(ValueError, match=message):
        nnx.dot_product_attention(jnp.asarray(q), jnp.asarray(k), jnp.asarray(v))


def test_decoding_gives_what_causal_attention_gives():
    layer = nnx.MultiHeadAttention(2, 8, decode=False, normalize_qk=True, rngs=nnx.Rngs(0))
    want = layer(X, is_causal=True)
    layer.init_cache(X.shape)
    for position in range(3):
        got = layer(X[:, position : position + 1], decode=True)
        assert_close(got, want[:, position : position + 1], "model")
    assert int(layer.cache_index[...]) == 3
    assert layer.cached_key.shape == (2, 3, 2, 4)


class Attending(nnx.Module):
    def __init__(self, *, rngs):
        self.attention = nnx.MultiHeadAttention(2, 8, decode=False, rngs=rngs)

    def __call__(self, x):
        return x + self.attention(x, is_causal=True)


@pytest.mark.parametrize("scan", [False, True])
def test_towers_decode_in_one_view_however_their_layers_are_held(scan):
    tower = nnx.Repeat(Attending, 3, scan=scan, rngs=nnx.Rngs(0))
    want = tower(X)
    generator = nnx.view(tower, decode=True, batch_size=2, max_length=3)
    for position in range(3):
        got = generator(X[:, position : position + 1])
        assert_close(got, want[:, position : position + 1], "model")
    assert not nnx.state(tower, nnx.Cache)


@pytest.mark.parametrize(
    "layer, cache",
    [(jnp.bfloat16, None), (jnp.bfloat16, jnp.float32), (None, jnp.bfloat16)],
)
def test_a_cache_has_a_dtype_of_its_own(layer, cache):
    model = nnx.MultiHeadAttention(2, 8, dtype=layer, decode=False, rngs=nnx.Rngs(0))
    want = model(X, is_causal=True)
    if cache is None:
        model = nnx.view(model, decode=True, batch_size=2, max_length=3)
    else:
        model.init_cache(X.shape, cache)
    for position in range(3):
        got = model(X[:, position : position + 1], decode=True)
        assert got.dtype == want.dtype
        got, expected = (x.astype(jnp.bfloat16) for x in (got, want[:, position : position + 1]))
        assert_close(got, expected, "model")
    assert model.cached_key.dtype == (cache or layer)


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 5)])
def test_masks_that_do_not_fit_say_how_they_would(shape):
    for f in (nnx.dot_product_attention, dot_product_attention_weights):
        values = (V,) if f is nnx.dot_product_attention else ()
        with pytest.raises(ValueError, match=r"mask\[:, None, None, :\]"):
            f(Q, K, *values, mask=jnp.ones(shape, bool))


@pytest.mark.parametrize("settings", [{}, {"num_kv_heads": 1}, {"normalize_qk": True}])
@pytest.mark.parametrize("call", [{}, {"sow_weights": True}])
def test_is_causal_does_not_hide_the_cache_from_a_step(settings, call):
    layer = nnx.MultiHeadAttention(2, 8, decode=False, rngs=nnx.Rngs(0), **settings)
    want = layer(X, is_causal=True)
    layer.init_cache(X.shape)
    for position in range(3):
        x = X[:, position : position + 1]
        got = layer(x, decode=True, is_causal=True, **call)
        assert_close(got, want[:, position : position + 1], "model")


def test_a_step_after_the_last_place_of_the_cache_is_an_error():
    layer = nnx.MultiHeadAttention(2, 8, decode=True, rngs=nnx.Rngs(0))
    layer.init_cache(X.shape)
    step = nnx.jit(lambda layer, x: layer(x))
    for position in range(3):
        step(layer, X[:, position : position + 1])
    full = np.array(layer.cached_key[...])
    with pytest.raises(ValueError, match=r"^The cache of MultiHeadAttention is full: it holds 3"):
        layer(X[:, :1])
    assert_exact(layer.cached_key[...], full)
    graphdef, state = nnx.split(layer)
    checked = checkify.checkify(jax.jit(lambda state: nnx.merge(graphdef, state)(X[:, :1])))
    assert "is full" in checked(state)[0].get()


@pytest.mark.parametrize("rate", [1.0, 1.5, -0.1, float("nan")])
@pytest.mark.parametrize("settings", [{}, {"deterministic": True}, {"dropout_rng": 0}])
def test_a_rate_of_dropout_leaves_some_weights(rate, settings):
    q, k, v = jnp.asarray(Q), jnp.asarray(K), jnp.asarray(V)
    with pytest.raises(ValueError, match=r"^dropout_rate must be in the range \[0, 1\), got"):
        nnx.dot_product_attention(q, k, v, dropout_rate=rate, **settings)
    with pytest.raises(ValueError, match=r"^dropout_rate must be in the range \[0, 1\), got"):
        dot_product_attention_weights(q, k, dropout_rate=rate, **settings)


def test_dropout_needs_a_key_where_it_drops():
    q, k, v = jnp.asarray(Q), jnp.asarray(K), jnp.asarray(V)
    with pytest.raises(ValueError, match=r"^dropout_rng is required when dropout_rate > 0"):
        nnx.dot_product_attention(q, k, v, dropout_rate=0.5)
    with pytest.raises(ValueError, match=r"^dropout_rng is required when dropout_rate > 0"):
        dot_product_attention_weights(q, k, dropout_rate=0.5)
    still = nnx.dot_product_attention(q, k, v, dropout_rate=0.5, deterministic=True)
    assert_close(still, nnx.dot_product_attention(q, k, v), "op")


def test_a_cache_has_to_be_there_and_fit():
    layer = nnx.MultiHeadAttention(2, 8, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="No `decode` argument was provided"):
        layer(X)
    layer.set_view(decode=True, deterministic=True)
    with pytest.raises(ValueError, match="cache not initialized"):
        layer(X)
    with pytest.raises(ValueError, match="needs batch_size and max_length"):
        layer.set_view(batch_size=2)
    layer.set_view(batch_size=2, max_length=3)
    with pytest.raises(ValueError, match="Autoregressive cache shape error"):
        layer(X)


def test_dropout_takes_keys_from_the_layer_or_the_call():
    settings = {"dropout_rate": 0.5, "decode": False}
    layer = nnx.MultiHeadAttention(2, 8, rngs=nnx.Rngs(0), **settings)
    with pytest.raises(ValueError, match="No `deterministic` argument was provided"):
        layer(X)
    layer(X, deterministic=True)
    assert int(layer.rngs.count[...]) == 0
    want = nnx.merge(*nnx.split(layer), copy=True)(X, deterministic=False)
    keyless = nnx.MultiHeadAttention(2, 8, rngs=nnx.Rngs(0), keep_rngs=False, **settings)
    with pytest.raises(ValueError, match="'rngs' must be provided"):
        keyless(X, deterministic=False)
    assert_exact(keyless(X, deterministic=False, rngs=layer.rngs), want)


def test_heads_and_inputs_are_checked():
    with pytest.raises(ValueError, match="divisible by 'num_heads'"):
        nnx.MultiHeadAttention(3, 8, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="divisible by num_kv_heads"):
        nnx.MultiHeadAttention(4, 8, num_kv_heads=3, rngs=nnx.Rngs(0))
    layer = nnx.MultiHeadAttention(2, 8, decode=False, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="got 3 but module expects 8"):
        layer(X[..., :3])
    with pytest.raises(ValueError, match="`inputs_k` cannot be None"):
        layer(X, None, X)


class Unhashable:
    """An attention function that cannot be hashed, as dataclasses with fields to compare."""

    __hash__ = None

    def __call__(self, query, key, value, mask=None, **_):
        return nnx.dot_product_attention(query, key, value, mask=mask)


def test_attention_functions_need_not_be_hashable_while_decoding():
    x = jnp.ones((1, 3, 4))
    layer = nnx.MultiHeadAttention(2, 4, attention_fn=Unhashable(), decode=True, rngs=nnx.Rngs(0))
    layer.init_cache(x.shape)
    assert layer(x[:, :1]).shape == (1, 1, 4)
