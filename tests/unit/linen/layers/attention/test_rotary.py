"""Rotary positions in Linen: the layer, and attention that knows distances."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie import nnx

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 8)), jnp.float32)


def _attention(**fields):
    attend = functools.partial(nn.dot_product_attention_with_rope, theta=50.0)
    return nn.MultiHeadDotProductAttention(num_heads=2, attention_fn=attend, **fields)


def test_the_layer_gives_the_bits_of_nnx():
    positions = jnp.array([3, 1, 4, 1, 5, 9])
    for given in (None, positions):
        assert_exact(nn.RoPE(50.0).apply({}, X, given), nnx.RoPE(50.0)(X, given))
    with pytest.raises(ValueError, match=r"RoPE turns pairs of features.* Got 7"):
        nn.RoPE().apply({}, X[..., :7])


@pytest.mark.parametrize("sow_weights", [False, True])
def test_attention_gives_what_nnx_gives(sow_weights):
    attend = functools.partial(nnx.dot_product_attention_with_rope, rope=nnx.RoPE(50.0))
    layer = nnx.MultiHeadAttention(2, 8, attention_fn=attend, decode=False, rngs=nnx.Rngs(0))
    variables = {"params": nnx.to_pure_dict(nnx.state(layer, nnx.Param))}
    mask = nn.make_causal_mask(X[..., 0])
    for positions in (None, 2 * jnp.arange(6)):
        got, _ = _attention().apply(
            variables,
            X,
            mask=mask,
            input_positions=positions,
            sow_weights=sow_weights,
            mutable=["intermediates"],
        )
        assert_close(got, layer(X, mask=mask, input_positions=positions), "op")


def test_attention_does_not_change_when_everything_moves():
    variables = _attention().init(jax.random.key(0), X)
    want = _attention().apply(variables, X)
    moved = jnp.arange(6)[None] + jnp.array([[3], [40]])
    assert_close(_attention().apply(variables, X, input_positions=moved), want, "model")
    apart = _attention().apply(variables, X, input_positions=2 * jnp.arange(6))
    assert abs(apart - want).max() > 1e-2


@pytest.mark.parametrize("offset", [None, np.array([5]), np.array([[3], [-1]])])
def test_decoding_gives_what_the_whole_sequence_gives(offset):
    module = _attention(decode=True)
    variables = module.init(jax.random.key(0), X)
    want = _attention().apply(variables, X, mask=nn.make_causal_mask(X[..., 0]))
    for i in range(6):
        positions = None if offset is None else jnp.asarray(offset + i)
        got, cache = module.apply(
            variables, X[:, i : i + 1], input_positions=positions, mutable=["cache"]
        )
        assert_close(got, want[:, i : i + 1], "model")
        variables = variables | cache


def test_settings_of_the_layer_reach_attention_that_turns():
    x = X.astype(jnp.bfloat16)
    module = _attention(dtype=jnp.bfloat16, dropout_rate=0.5, deterministic=False)
    variables = module.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, x)
    first, second = (
        module.apply(variables, x, rngs={"dropout": jax.random.key(seed)}) for seed in (1, 2)
    )
    assert first.dtype == jnp.bfloat16
    assert (first != second).any()


def test_positions_are_refused_where_they_would_be_lost():
    module = nn.MultiHeadDotProductAttention(num_heads=2)
    with pytest.raises(ValueError, match=r"input_positions of shape .* attention_fn takes none"):
        module.init(jax.random.key(0), X, input_positions=jnp.arange(6))
    seen = []

    def attend(query, key, value, input_positions=None):
        seen.append(input_positions)
        return nn.dot_product_attention(query, key, value)

    module = nn.MultiHeadDotProductAttention(num_heads=2, attention_fn=attend)
    module.init(jax.random.key(0), X, input_positions=jnp.arange(6))
    assert any(x is not None for x in seen)
