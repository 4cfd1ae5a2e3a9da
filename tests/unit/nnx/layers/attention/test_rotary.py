"""RoPE as a layer, and attention that knows distances, whole and step by step."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import nnx
from ramie.ops.attention import rotary

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 8)), jnp.float32)


def _layer(rope=None, **settings):
    attend = functools.partial(nnx.dot_product_attention_with_rope, rope=rope or nnx.RoPE())
    return nnx.MultiHeadAttention(
        2, 8, attention_fn=attend, decode=False, rngs=nnx.Rngs(0), **settings
    )


def test_tables_are_variables_but_no_parameters():
    assert vars(nnx.RoPE())["cached_sin"] is None
    rope = nnx.RoPE(100.0, 8, 16)
    assert {name: v.shape for name, v in nnx.state(rope).items()} == {
        "cached_sin": (16, 4),
        "cached_cos": (16, 4),
    }
    assert not nnx.state(rope, nnx.Param)
    assert_exact(rope(X), nnx.RoPE(100.0)(X))
    assert_close(nnx.jit(lambda rope, x: rope(x))(rope, X), rope(X), "op")
    with pytest.raises(ValueError, match="max_seq_len=4, but the sequence has 6"):
        nnx.RoPE(embedding_size=8, max_seq_len=4)(X)
    with pytest.raises(ValueError, match="Either both"):
        nnx.RoPE(embedding_size=8)


def test_attention_is_that_of_turned_queries_and_keys():
    q, k, v = (jnp.asarray(np.random.default_rng(i).normal(size=(2, 5, 2, 4))) for i in range(3))
    rope = nnx.RoPE(50.0)
    turned = [rotary.turned_heads(rope, x) for x in (q, k)]
    got = nnx.dot_product_attention_with_rope(q, k, v, rope=rope, is_causal=True)
    assert_exact(got, nnx.dot_product_attention(*turned, v, is_causal=True))


def test_attention_does_not_change_when_everything_moves():
    layer = _layer()
    want = layer(X)
    positions = jnp.arange(6)[None] + jnp.array([[3], [40]])
    assert_close(layer(X, input_positions=positions), want, "model")
    assert_close(layer(X, input_positions=jnp.arange(6) + 9), want, "model")
    assert abs(layer(X, input_positions=2 * jnp.arange(6)) - want).max() > 1e-2
    assert abs(layer(X[:, ::-1]) - want[:, ::-1]).max() > 1e-2


@pytest.mark.parametrize("offset", [None, np.array([5]), np.array([[3], [-1]])])
@pytest.mark.parametrize("settings", [{}, {"num_kv_heads": 1}, {"normalize_qk": True}])
def test_decoding_gives_what_the_whole_sequence_gives(settings, offset):
    layer = _layer(nnx.RoPE(embedding_size=4, max_seq_len=6), **settings)
    want = layer(X, is_causal=True)
    layer.init_cache(X.shape)
    for i in range(6):
        positions = None if offset is None else jnp.asarray(offset + i)
        step = layer(X[:, i : i + 1], decode=True, is_causal=True, input_positions=positions)
        assert_close(step, want[:, i : i + 1], "model")


def test_queries_and_keys_of_other_lengths():
    q, kv = jnp.ones((2, 4, 2, 4)), jnp.ones((2, 5, 2, 4))
    attend = functools.partial(nnx.dot_product_attention_with_rope, rope=nnx.RoPE())
    assert attend(q, kv, kv).shape == (2, 4, 2, 4)
    got = attend(q, kv, kv, input_positions=jnp.arange(4), key_positions=jnp.arange(5))
    assert_exact(got, attend(q, kv, kv))
    with pytest.raises(ValueError, match="must have the same seq_len"):
        attend(q, kv, kv, input_positions=jnp.arange(4))
    with pytest.raises(ValueError, match="same rank, at least 3"):
        attend(q[0, 0], kv[0, 0], kv[0, 0])


def test_positions_reach_only_attention_that_is_given_some():
    seen = []

    def attend(query, key, value, **kwargs):
        seen.append({k: v for k, v in kwargs.items() if "positions" in k})
        return nnx.dot_product_attention(query, key, value)

    layer = nnx.MultiHeadAttention(2, 8, attention_fn=attend, decode=False, rngs=nnx.Rngs(0))
    layer(X)
    layer(X, input_positions="here")
    layer.init_cache(X.shape)
    layer(X[:, :1], decode=True)
    layer(X[:, :1], decode=True, input_positions="there")
    assert seen == [{}, {"input_positions": "here"}, {}, {"input_positions": "there"}]


def test_a_rope_of_users_is_called():
    class Still(nnx.RoPE):
        def __call__(self, x, input_positions=None):
            return x

    assert_exact(
        _layer(Still())(X), nnx.MultiHeadAttention(2, 8, decode=False, rngs=nnx.Rngs(0))(X)
    )
