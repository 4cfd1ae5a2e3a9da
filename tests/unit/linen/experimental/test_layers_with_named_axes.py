"""Experimental layers: the names of axes, and what they compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie.linen import partitioning
from ramie.linen.experimental.layers_with_named_axes import Dense, Embed, LayerNorm

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3)), jnp.float32)


def _names(variables):
    return {k: v.names for k, v in variables["params_axes"].items()}


def test_names_of_axes():
    assert _names(Dense(4, kernel_axes=("embed", "mlp")).init(KEY, X)) == {
        "kernel_axes": ("embed", "mlp"),
        "bias_axes": ("mlp",),
    }
    assert _names(Dense(4).init(KEY, X)) == {"kernel_axes": (), "bias_axes": ()}
    assert _names(LayerNorm().init(KEY, X)) == {"scale_axes": ("embed",), "bias_axes": ("embed",)}
    variables = Embed(5, 4).init(KEY, jnp.array([1]))
    specs = partitioning.get_axis_names(variables["params_axes"])
    assert specs["embedding"] == jax.sharding.PartitionSpec("vocab", "embed")


def test_results_are_those_of_the_plain_layers():
    for named, plain in [(Dense(4), nn.Dense(4)), (LayerNorm(), nn.LayerNorm())]:
        variables = {"params": named.init(KEY, X)["params"]}
        assert_close(named.apply(variables, X), plain.apply(variables, X))
    tokens = jnp.array([[1, 4], [0, 2]])
    variables = {"params": Embed(5, 4).init(KEY, tokens)["params"]}
    want = nn.Embed(5, 4).apply(variables, tokens)
    assert_exact(Embed(5, 4).apply(variables, tokens), want)
    assert_exact(Embed(5, 4, one_hot=True).apply(variables, tokens), want)


def test_dtypes():
    low = jnp.bfloat16
    assert Dense(4, dtype=low).init_with_output(KEY, X)[0].dtype == low
    assert Dense(4).init_with_output(KEY, X.astype(low))[0].dtype == jnp.float32
    assert LayerNorm(dtype=low).init_with_output(KEY, X)[0].dtype == low


def test_errors():
    with pytest.raises(ValueError, match="got a scalar"):
        Dense(4).init(KEY, jnp.float32(1))
    with pytest.raises(ValueError, match=r"^Input type must be an integer"):
        Embed(5, 4).init(KEY, X)
