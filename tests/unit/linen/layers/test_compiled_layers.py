"""The flag that compiles every layer: the same numbers within rounding, and the same state."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie.configurations import config


class AllKinds(nn.Module):
    """One layer of each kind that keeps its bits only when it is not compiled."""

    @nn.compact
    def __call__(self, x, train):
        table = nn.Embed(3, 8)
        x = nn.LayerNorm()(nn.Dense(8)(x))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
        x = nn.GroupNorm(2)(x)
        x = nn.MultiHeadDotProductAttention(2)(x, mask=nn.make_causal_mask(x[..., 0]))
        x = nn.WeightNorm(nn.Dense(8))(x)
        x = nn.SpectralNorm(nn.Dense(8))(x, update_stats=train)
        return table.attend(nn.RMSNorm()(x))


@pytest.fixture(scope="module")
def example():
    model = AllKinds()
    x = jax.random.normal(jax.random.key(0), (2, 3, 4))
    variables = model.init(jax.random.key(1), x, train=False)
    random = np.random.default_rng(0)
    noisy = jax.tree.map(
        lambda a: jnp.asarray(a + 0.1 * random.standard_normal(a.shape), a.dtype),
        variables["params"],
    )
    return model, {**variables, "params": noisy}, x


def test_all_layers_compiled_change_only_last_bits(example):
    model, variables, x = example

    def run():
        return model.apply(variables, x, train=True, mutable=["batch_stats"])

    plain = run()
    with config.temp_flip_flag("compiled_layers", "all"):
        jax.tree.map(functools.partial(assert_close, kind="model"), run(), plain)
    with config.temp_flip_flag("compiled_layers", "off"):
        jax.tree.map(assert_exact, run(), plain)


def test_gradients_and_jit_do_not_see_the_flag(example):
    model, variables, x = example

    def loss(params):
        return jnp.sum(model.apply({**variables, "params": params}, x, train=False) ** 2)

    plain = str(jax.make_jaxpr(jax.grad(loss))(variables["params"]))
    with config.temp_flip_flag("compiled_layers", "all"):
        assert str(jax.make_jaxpr(jax.grad(loss))(variables["params"])) == plain
