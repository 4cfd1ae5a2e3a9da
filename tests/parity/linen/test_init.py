"""Un-jitted init against the peer's: whole models, through the sampler, leaf by leaf."""

import importlib

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact

from ramie.configurations import config

flax = pytest.importorskip("flax")

LIBRARIES = ("ramie.linen", "flax.linen")


def _residual(nn):
    class Bottleneck(nn.Module):
        @nn.compact
        def __call__(self, x):
            y = nn.relu(nn.BatchNorm(use_running_average=False)(nn.Conv(4, (1, 1))(x)))
            y = nn.BatchNorm(use_running_average=False, scale_init=nn.initializers.zeros_init())(
                nn.Conv(8, (3, 3), use_bias=False)(y)
            )
            return nn.relu(nn.Conv(8, (1, 1))(x) + y)

    return nn.Sequential([Bottleneck(), lambda x: x.mean((1, 2)), nn.Dense(5)])


def _attending(nn):
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x):
            y = nn.MultiHeadDotProductAttention(num_heads=2, qkv_features=8)(nn.LayerNorm()(x))
            y = nn.gelu(nn.Dense(16, kernel_init=nn.initializers.xavier_uniform())(x + y))
            return nn.Dense(8, bias_init=nn.initializers.normal(1e-6))(y)

    return nn.Sequential([nn.Embed(11, 8), Layer(), Layer()])


def _scanned(nn):
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return nn.Dense(4, kernel_init=nn.initializers.he_uniform())(x), None

    layers = nn.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)

    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            return layers()(nn.Dense(4)(x), None)

    return Stack()


def _narrow(nn):
    """Return a model of many initializers over rows of every length, short ones above all."""

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Embed(9, 5)(x)
            for width in (*range(1, 10), 16, 17, 33):
                x = nn.Dense(width, bias_init=nn.initializers.normal(0.3))(x)
            for make in ("he_uniform", "glorot_normal", "lecun_normal"):
                x = nn.Dense(70, kernel_init=getattr(nn.initializers, make)())(x)
                x = nn.Dense(
                    4, kernel_init=nn.initializers.variance_scaling(0.7, "fan_avg", "normal")
                )(x)
            x = nn.Conv(3, (5, 5))(x[None, None])
            return nn.Dense(3, kernel_init=nn.initializers.truncated_normal(0.2))(x)

    return Model()


def _paths(tree):
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (_residual, jnp.ones((1, 4, 4, 3))),
        (_attending, jnp.ones((1, 3), jnp.int32)),
        (_scanned, jnp.ones((1, 4))),
        (_narrow, jnp.ones((3,), jnp.int32)),
    ],
)
def test_variables_are_those_of_the_peer(make, inputs):
    key = jax.random.key(11)
    ours, theirs = (make(importlib.import_module(name)).init(key, inputs) for name in LIBRARIES)
    assert _paths(ours) == _paths(theirs)
    assert [list(v) for v in ours.values()] == [list(v) for v in theirs.values()]
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert_exact(a, b)
        assert (a.weak_type, a.committed) == (b.weak_type, b.committed)


def _equal(ours, theirs):
    jax.tree.map(assert_exact, dict(ours), dict(theirs))


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (_residual, jnp.ones((1, 4, 4, 3))),
        (_attending, jnp.ones((1, 3), jnp.int32)),
        (_narrow, jnp.ones((3,), jnp.int32)),
    ],
)
def test_every_way_to_initialise_draws_what_the_peer_draws_that_way(make, inputs):
    key = jax.random.key(23)
    ours, theirs = (make(importlib.import_module(name)) for name in LIBRARIES)
    plain, compiled = theirs.init(key, inputs), jax.jit(theirs.init)(key, inputs)
    _equal(ours.init(key, inputs), plain)
    with config.temp_flip_flag("fast_init", False):
        _equal(ours.init(key, inputs), plain)
        _equal(jax.jit(ours.init)(key, inputs), compiled)
    _equal(jax.jit(ours.init)(key, inputs), compiled)
