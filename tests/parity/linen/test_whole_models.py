"""Whole models, written once over a namespace: names, order, random numbers and outputs of both."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

flax_nn = pytest.importorskip("flax.linen")

from tests.tolerance import assert_close, assert_exact  # noqa: E402

import ramie.linen as ramie_nn  # noqa: E402

KEYS = {"params": jax.random.key(3), "dropout": jax.random.key(4), "noise": jax.random.key(5)}
IMAGES = jax.random.normal(jax.random.key(6), (2, 6, 6, 3))
TOKENS = jnp.arange(10).reshape(2, 5) % 7


def convolutional(nn):
    class Block(nn.Module):
        features: int
        train: bool = True

        @nn.compact
        def __call__(self, x):
            y = nn.Conv(self.features, (3, 3), use_bias=False)(x)
            y = nn.relu(nn.BatchNorm(use_running_average=not self.train)(y))
            y = nn.Dropout(0.4, deterministic=not self.train)(y)
            return nn.Conv(self.features, (1, 1), name="project")(x) + y

    class Model(nn.Module):
        def setup(self):
            self.stages = [Block(4), {"deep": Block(5)}]
            self.head = nn.Dense(3)

        def __call__(self, x):
            x = self.stages[1]["deep"](nn.avg_pool(self.stages[0](x), (2, 2), (2, 2)))
            self.sow("intermediates", "pooled", x.mean((1, 2)))
            return self.head(x.reshape(x.shape[0], -1))

    return Model(), IMAGES


def attention(nn):
    class Block(nn.Module):
        attend: nn.Module

        @nn.compact
        def __call__(self, x):
            x = x + self.attend(nn.LayerNorm()(x))
            return x + nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(8)(nn.RMSNorm()(x))))

    class Model(nn.Module):
        @nn.compact
        def __call__(self, tokens):
            embed = nn.Embed(7, 4)
            x = embed(tokens)
            shared = nn.MultiHeadDotProductAttention(
                num_heads=2, dropout_rate=0.2, deterministic=False
            )
            for _ in range(2):
                x = Block(shared)(x)
            x = Block(nn.MultiHeadAttention(2, deterministic=True, parent=None), name="last")(x)
            return embed.attend(x)

    return Model(), TOKENS


def randomness(nn):
    class Noise(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = x + jax.random.normal(self.make_rng("noise"), x.shape)
            x = x + jax.random.normal(self.make_rng("absent"), x.shape)
            w = self.param("w", lambda key, shape: jax.random.uniform(key, shape), (1, 5))
            v = self.variable(
                "state", "v", lambda: jax.random.normal(self.make_rng("noise"), (1, 5))
            )
            return x * w + v.value

    class Model(nn.Module):
        noise: nn.Module

        @nn.compact
        def __call__(self, x):
            x = x.astype(jnp.float32)
            local = Noise()
            return self.noise(local(local(x))) + Noise(name="n")(self.noise(x))

    return Model(Noise()), TOKENS


def scanned(nn):
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            x = nn.Dropout(0.5, deterministic=False)(nn.Dense(4)(x))
            return nn.LayerNorm()(x), x.sum()

    class Model(nn.Module):
        @nn.compact
        def __call__(self, tokens):
            x = nn.Embed(7, 4)(tokens)
            stack = nn.scan(
                nn.remat(Layer),
                variable_axes={"params": 0},
                split_rngs={"params": True, "dropout": True},
                length=3,
            )
            x, sums = stack()(x, None)
            heads = nn.vmap(
                nn.Dense,
                in_axes=None,
                out_axes=-1,
                axis_size=2,
                variable_axes={"params": 0},
                split_rngs={"params": True},
            )(3)(x)
            return nn.jit(nn.Dense)(2)(heads), sums

    return Model(), TOKENS


MODELS = [convolutional, attention, randomness, scanned]


@functools.cache
def initialised(model):
    both = []
    for nn in (flax_nn, ramie_nn):
        module, x = model(nn)
        both.append((module, x, module.init(KEYS, x)))
    return both


def leaves_in_order(tree, path=()):
    if not isinstance(tree, dict):
        return [(path, tree)]
    return [leaf for k, v in tree.items() for leaf in leaves_in_order(v, (*path, k))]


@pytest.mark.parametrize("model", MODELS)
def test_variables_have_the_same_names_order_and_bits(model):
    (_, _, want), (_, _, got) = initialised(model)
    want, got = leaves_in_order(want), leaves_in_order(got)
    assert [path for path, _ in got] == [path for path, _ in want]
    for (_, a), (_, b) in zip(got, want, strict=True):
        assert_exact(a, b)


@pytest.mark.parametrize("model", MODELS)
def test_outputs_and_new_state_are_equal(model):
    results = [
        module.apply(variables, x, rngs=KEYS, mutable=["batch_stats", "intermediates", "state"])
        for module, x, variables in initialised(model)
    ]
    want, got = map(jax.tree.leaves, results)
    assert jax.tree.structure(results[0]) == jax.tree.structure(results[1])
    for a, b in zip(got, want, strict=True):
        assert_close(a, b, "model")


@pytest.mark.parametrize("model", MODELS)
def test_gradients_under_jit_are_equal(model):
    gradients = []
    for module, x, variables in initialised(model):
        rest = {k: v for k, v in variables.items() if k != "params"}

        def loss(params, module=module, x=x, rest=rest):
            y, _ = module.apply({"params": params, **rest}, x, rngs=KEYS, mutable=["batch_stats"])
            return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(y))

        gradients.append(jax.jit(jax.grad(loss))(variables["params"]))
    for a, b in zip(*(jax.tree.leaves(g) for g in gradients), strict=True):
        assert_close(b, a, "model")


@pytest.mark.parametrize("model", MODELS)
def test_traced_programs_are_no_longer_and_named_alike(model):
    counts, names = [], []
    for module, x, variables in initialised(model):
        run = functools.partial(module.apply, rngs=KEYS, mutable=["batch_stats"])
        equations = jax.make_jaxpr(run)(variables, x).jaxpr.eqns
        counts.append(len(equations))
        names.append({str(e.source_info.name_stack) for e in equations})
    assert counts[1] <= counts[0]
    assert names[1] <= names[0] | {""}


@pytest.mark.parametrize("seed", range(3))
def test_random_keys_agree_for_any_path(seed):
    words = np.random.default_rng(seed).choice(["a", "bc", "über", "x_1"], 4)
    keys = []
    for nn in (flax_nn, ramie_nn):

        class Leaf(nn.Module):
            names: tuple

            @nn.compact
            def __call__(self):
                if self.names:
                    return Leaf(self.names[1:], name=self.names[0])()
                return [self.make_rng("noise") for _ in range(300)][-1]

        keys.append(jax.random.key_data(Leaf(tuple(map(str, words))).apply({}, rngs=KEYS)))
    assert_exact(*keys)
