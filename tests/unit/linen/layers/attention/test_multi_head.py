"""Attention layers: inputs, masks, dropout, kept weights, and decoding step by step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie import errors

KEY = jax.random.key(0)


def _floats(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


X, Y = _floats(2, 5, 6), _floats(2, 7, 6, seed=1)
attention = functools.partial(nn.MultiHeadDotProductAttention, num_heads=2)


def test_keys_and_values_default_to_what_is_there():
    layer = attention()
    variables = layer.init(KEY, X)
    assert_exact(layer.apply(variables, X), layer.apply(variables, X, X, X))
    assert_exact(layer.apply(variables, X, Y), layer.apply(variables, X, Y, Y))
    with pytest.warns(DeprecationWarning, match="inputs_kv"):
        old = layer.apply(variables, X, inputs_kv=Y)
    assert_exact(old, layer.apply(variables, X, Y))


@pytest.mark.parametrize(
    "inputs, message",
    [
        ({"inputs_v": Y}, "`inputs_k` cannot be None"),
        ({"inputs_k": Y, "inputs_kv": Y}, "`inputs_kv` must be None"),
    ],
)
def test_inputs_that_contradict_each_other_are_refused(inputs, message):
    layer = attention()
    with pytest.raises(ValueError, match=message):
        layer.init(KEY, X, **inputs)


def test_a_mask_in_the_place_of_values_is_warned_about():
    layer = attention()
    variables = layer.init(KEY, X)
    with pytest.warns(DeprecationWarning, match="has changed"), pytest.raises(ValueError):
        layer.apply(variables, X, X, jnp.ones((2, 1, 5, 5)))


def test_masked_keys_do_not_matter():
    layer = attention()
    variables = layer.init(KEY, X, Y)
    mask = jnp.arange(7) < 4
    got = layer.apply(variables, X, Y, mask=mask[None, None, None])
    assert_close(got, layer.apply(variables, X, Y[:, :4]), "op")


def test_heads_have_to_come_out_even():
    with pytest.raises(ValueError, match=r"\(6\) must be divisible by number of heads \(4\)"):
        nn.MultiHeadAttention(num_heads=4).init(KEY, X)


def test_dropout_is_asked_about_only_where_there_is_some():
    variables = attention().init(KEY, X)
    attention(deterministic=True).apply(variables, X, deterministic=True)
    with pytest.raises(ValueError, match="deterministic"):
        attention(dropout_rate=0.1).apply(variables, X)
    with pytest.raises(ValueError, match="deterministic"):
        attention(dropout_rate=0.1, deterministic=True).apply(variables, X, deterministic=True)


def test_dropout_draws_from_its_stream_or_from_the_key_given():
    layer = attention(dropout_rate=0.5, deterministic=False)
    variables = layer.init(KEY, X)
    with pytest.raises(errors.InvalidRngError, match="dropout"):
        layer.apply(variables, X)
    first = layer.apply(variables, X, rngs={"dropout": jax.random.key(1)})
    assert_exact(layer.apply(variables, X, rngs={"dropout": jax.random.key(1)}), first)
    assert np.any(layer.apply(variables, X, rngs={"dropout": jax.random.key(2)}) != first)
    own = layer.apply(variables, X, dropout_rng=jax.random.key(1))
    other = layer.apply(
        variables, X, dropout_rng=jax.random.key(1), rngs={"dropout": jax.random.key(2)}
    )
    assert_exact(own, other)


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan"), float("inf")])
def test_a_rate_of_dropout_that_is_no_probability_is_refused(rate):
    message = r"^dropout_rate must be in the range \[0, 1\], got"
    variables = attention().init(KEY, X)
    for deterministic in (True, False):
        layer = attention(dropout_rate=rate, deterministic=deterministic)
        with pytest.raises(ValueError, match=message):
            layer.apply(variables, X, rngs={"dropout": KEY})
    one = X[..., None, :]
    for function in (nn.dot_product_attention_weights, functools.partial(_attend, one)):
        with pytest.raises(ValueError, match=message):
            function(one, one, dropout_rng=KEY, dropout_rate=rate)


def _attend(value, query, key, **options):
    return nn.dot_product_attention(query, key, value, **options)


def test_dropout_of_everything_leaves_zeros():
    """In Flax the weights are NaN, or zeros under `jit`."""
    layer = attention(dropout_rate=1.0, deterministic=False)
    variables = attention().init(KEY, X)
    assert_exact(layer.apply(variables, X, rngs={"dropout": KEY}), jnp.zeros((2, 5, 6)))


def test_a_missing_key_of_dropout_is_named():
    one = X[..., None, :]
    for function in (nn.dot_product_attention_weights, functools.partial(_attend, one)):
        with pytest.raises(ValueError, match=r"^dropout_rng is required when dropout_rate > 0"):
            function(one, one, dropout_rate=0.5)


def test_weights_are_kept_before_dropout():
    layer = attention(dropout_rate=0.5, deterministic=False)
    variables = layer.init(KEY, X)
    _, kept = layer.apply(
        variables, X, sow_weights=True, mutable=["intermediates"], rngs={"dropout": KEY}
    )
    (weights,) = kept["intermediates"]["attention_weights"]
    assert weights.shape == (2, 2, 5, 5)
    assert_close(weights.sum(-1), jnp.ones((2, 2, 5)), "op")
    _, kept = layer.apply(variables, X, mutable=["intermediates"], rngs={"dropout": KEY})
    assert kept == {}


def test_own_attention_gets_the_arguments_it_names():
    seen = []

    def first_key(query, key, value, mask=None, dtype=None):
        seen.append((mask is None, dtype))
        return value[:, :1] + jnp.zeros_like(query)

    layer = attention(attention_fn=first_key, dtype=jnp.float32)
    layer.init(KEY, X)
    assert seen[-1] == (True, jnp.float32)


@pytest.mark.parametrize("given", ["qk_attn_weights_einsum_cls", "attn_weights_value_einsum_cls"])
def test_own_einsums_come_in_pairs(given):
    with pytest.raises(ValueError, match="specified together"):
        attention(**{given: lambda: jnp.einsum}).init(KEY, X)


def test_own_einsums_are_used():
    both = attention(
        qk_attn_weights_einsum_cls=lambda: jnp.einsum,
        attn_weights_value_einsum_cls=lambda: jnp.einsum,
    )
    variables = attention().init(KEY, X)
    assert_close(both.apply(variables, X), attention().apply(variables, X), "op")
    one = X[..., None, :]
    with pytest.raises(ValueError, match="no effect"):
        nn.dot_product_attention(
            one,
            one,
            one,
            precision="highest",
            qk_attn_weights_einsum=jnp.einsum,
            attn_weights_value_einsum=jnp.einsum,
        )
    with pytest.raises(ValueError, match="no effect"):
        nn.dot_product_attention_weights(one, one, precision="highest", einsum=jnp.einsum)


def test_weights_alone_match_what_attention_applies():
    q, k = _floats(2, 5, 3, 4), _floats(2, 7, 3, 4, seed=1)
    weights = nn.dot_product_attention_weights(q, k, dropout_rng=KEY, dropout_rate=0.5)
    want = jnp.einsum("bhqk,bkhd->bqhd", weights, k)
    got = nn.dot_product_attention(q, k, k, dropout_rng=KEY, dropout_rate=0.5)
    assert_close(got, want, "op")


def _no_mask(x, position):
    return None


def _mask_of_the_step(x, position):
    return nn.make_causal_mask(x[..., position : position + 1, 0])


def _row_of_the_mask(x, position):
    return nn.make_causal_mask(x[..., 0])[..., position : position + 1, :]


@pytest.mark.parametrize("mask", [_no_mask, _mask_of_the_step, _row_of_the_mask])
@pytest.mark.parametrize("lead", [(2,), (2, 3)])
def test_decoding_step_by_step_is_causal_attention(lead, mask):
    """No causal mask hides what the cache holds, whether it is made for one step or for all."""
    x = _floats(*lead, 4, 6)
    layer = attention(decode=True)
    variables = layer.init(KEY, x)
    params, cache = {"params": variables["params"]}, variables["cache"]
    assert int(cache["cache_index"]) == 0
    want = attention().apply(params, x, mask=nn.make_causal_mask(x[..., 0]))
    for position in range(4):
        part = x[..., position : position + 1, :]
        got, updates = layer.apply(
            {**params, "cache": cache}, part, mask=mask(x, position), mutable=["cache"]
        )
        cache = updates["cache"]
        assert_close(got, want[..., position : position + 1, :], "model")
    assert int(cache["cache_index"]) == 4


def test_a_causal_attention_function_does_not_hide_the_cache():
    layer = attention(decode=True, attention_fn=functools.partial(_of_jax, is_causal=True))
    variables = layer.init(KEY, X)
    params, cache = {"params": variables["params"]}, {"cache": variables["cache"]}
    want = layer.clone(decode=False).apply(params, X)
    for position in range(5):
        part = X[:, position : position + 1]
        got, cache = layer.apply({**params, **cache}, part, mutable=["cache"])
        assert_close(got, want[:, position : position + 1], "model")


def _of_jax(query, key, value, mask=None, is_causal=False):
    return jax.nn.dot_product_attention(
        query, key, value, mask=None if mask is None else mask > 0, is_causal=is_causal
    )


def test_a_step_after_the_last_place_of_the_cache_is_an_error():
    layer = attention(decode=True)
    variables = layer.init(KEY, X)
    step = jax.jit(lambda v: layer.apply(v, X[:, :1], mutable=["cache"])[1])
    for _ in range(5):
        variables |= step(variables)
    with pytest.raises(ValueError, match=r"^The cache of MultiHead.* at / is full: it holds 5"):
        layer.apply(variables, X[:, :1], mutable=["cache"])
    assert "is full" in checkify.checkify(step)(variables)[0].get()


def test_decoding_takes_one_position_at_a_time():
    layer = attention(decode=True)
    variables = layer.init(KEY, X)
    with pytest.raises(ValueError, match="one position at a time"):
        layer.apply(variables, X, mutable=["cache"])
    with pytest.raises(errors.ModifyScopeVariableError, match="cache"):
        layer.apply(variables, X[:, :1])


def test_the_deprecated_name_still_works():
    variables = attention().init(KEY, X)
    with pytest.warns(DeprecationWarning, match="SelfAttention"):
        got = nn.SelfAttention(num_heads=2).apply(variables, X, jnp.ones((2, 1, 5, 5)))
    assert_exact(got, attention().apply(variables, X, mask=jnp.ones((2, 1, 5, 5))))


def test_only_the_call_is_a_method_that_interceptors_see():
    seen = []

    def watch(next_method, args, kwargs, context):
        seen.append((type(context.module).__name__, context.method_name))
        return next_method(*args, **kwargs)

    variables = attention().init(KEY, X)
    with nn.intercept_methods(watch):
        attention().apply(variables, X)
    assert set(seen) == {("MultiHeadDotProductAttention", "__call__"), ("DenseGeneral", "__call__")}


class Unhashable:
    """An attention function that cannot be hashed, as dataclasses with fields to compare."""

    __hash__ = None

    def __call__(self, query, key, value, bias=None, mask=None):
        return nn.dot_product_attention(query, key, value, bias, mask)


def test_attention_functions_need_not_be_hashable():
    x = jnp.ones((1, 3, 4))
    layers = [
        nn.MultiHeadDotProductAttention(num_heads=2, attention_fn=fn)
        for fn in (Unhashable(), nn.dot_product_attention)
    ]
    outputs = [layer.init_with_output(jax.random.key(0), x)[0] for layer in layers]
    assert_exact(*outputs)


def test_a_partial_of_a_name_that_is_not_there_is_explained():
    wrong = functools.partial(nn.dot_product_attention_with_rope, rope=None)
    layer = nn.MultiHeadDotProductAttention(num_heads=2, attention_fn=wrong)
    with pytest.raises(ValueError, match=r"attention_fn=.*cannot be called.*theta=") as caught:
        layer.init(jax.random.key(0), jnp.ones((1, 3, 4)))
    assert " at 0x" not in str(caught.value)
