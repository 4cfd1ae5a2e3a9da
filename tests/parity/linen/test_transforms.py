"""Transformed models, written once over a namespace: names, random numbers, outputs, gradients."""

# ruff: noqa: E402
import pytest

flax_nn = pytest.importorskip("flax.linen")

import jax
import jax.numpy as jnp
from tests.tolerance import assert_close, assert_exact

import ramie.linen as ramie_nn

KEYS = {"params": jax.random.key(3), "dropout": jax.random.key(4), "noise": jax.random.key(5)}
X = jax.random.normal(jax.random.key(6), (2, 3))
EACH = {"variable_axes": {"params": 0}, "split_rngs": {"params": True, "noise": True}}


def layer_of(nn, setup=False):
    """A layer with a parameter of its own, one below it, and noise, as a scan body."""

    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x, _=None):
            w = self.param("w", nn.initializers.normal(1.0), (x.shape[-1],))
            y = nn.Dense(x.shape[-1])(x * w.reshape((1,) * (x.ndim - 1) + w.shape))
            noise = jax.random.normal(self.make_rng("noise"), y.shape)
            return jnp.tanh(y + noise), y.mean()

    class InSetup(nn.Module):
        def setup(self):
            self.w = self.param("w", nn.initializers.normal(1.0), (3,))
            self.dense = nn.Dense(3)

        def __call__(self, x, _=None):
            y = self.dense(x * self.w.reshape((1,) * (x.ndim - 1) + self.w.shape))
            noise = jax.random.normal(self.make_rng("noise"), y.shape)
            return jnp.tanh(y + noise), y.mean()

    return InSetup if setup else Noisy


def call_twice(nn, cls):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            one = cls()
            x, a = one(x, None)
            x, b = cls()(x, None)
            x, c = one(x, None)
            return x, a, b, c

    return Model()


def method_of(nn, transform):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = self.helper(nn.Dense(3)(x), nn.Dense(3))
            x = transform(lambda module, x: nn.Dense(3)(nn.Dense(3)(x)))(self, x)
            return nn.Dense(3)(self.helper(x, nn.Dense(3)))

        @transform
        def helper(self, x, dense):
            return dense(x) + jax.random.normal(self.make_rng("noise"), x.shape)

    return Model()


def shared(nn, transform):
    cls = layer_of(nn)

    class Holder(nn.Module):
        inner: nn.Module

        @nn.compact
        def __call__(self, x):
            return nn.Dense(3)(self.inner(x)[0])

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            inner = cls(name="inner")
            first = transform(Holder)(inner)
            return transform(Holder)(inner)(first(first(x)))

    return Model()


def looped(nn, **options):
    def model(nn=nn, options=options):
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                return nn.scan(layer_of(nn), length=3, **options)()(x, None)

        return Model()

    return model()


def nested(nn):
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            x, _ = nn.remat(layer_of(nn), prevent_cse=False)()(x, None)
            return nn.scan(layer_of(nn), length=2, **EACH)()(x, None)[0], None

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.jit(nn.scan(Block, length=2, **EACH))()(x, None)[0]

    return Model()


def mapped(nn, **options):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.vmap(layer_of(nn), in_axes=(0, None), **options)()(x, None)

    return Model()


def signed(nn):
    sign = lambda variables: jax.tree.map(jnp.sign, variables)

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.map_variables(nn.Dense, "params", sign, init=True)(3)(x)

    return Model()


def chosen(nn):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            side = lambda sign: lambda module, x: sign * nn.Dense(3, name="dense")(x)
            return nn.cond(x.sum() > 0, side(1.0), side(-1.0), self, x)

    return Model()


MODELS = {
    "jit": lambda nn: call_twice(nn, nn.jit(layer_of(nn))),
    "jit of setup": lambda nn: call_twice(nn, nn.jit(layer_of(nn, setup=True))),
    "fold_rngs": lambda nn: call_twice(nn, nn.fold_rngs(layer_of(nn))),
    "remat": lambda nn: call_twice(nn, nn.remat(layer_of(nn))),
    "remat of setup": lambda nn: call_twice(nn, nn.remat(layer_of(nn, setup=True))),
    "jit of methods": lambda nn: method_of(nn, nn.jit),
    "remat of methods": lambda nn: method_of(nn, nn.remat),
    "jit of a shared module": lambda nn: shared(nn, nn.jit),
    "remat of a shared module": lambda nn: shared(nn, nn.remat),
    "scan": lambda nn: looped(nn, **EACH),
    "scan in one trace": lambda nn: looped(nn, **EACH, check_constancy_invariants=False),
    "scan with shared parameters": lambda nn: looped(
        nn, variable_broadcast="params", split_rngs={"params": False, "noise": True}
    ),
    "scan with shared noise": lambda nn: looped(
        nn, variable_axes={"params": 1}, split_rngs={"params": True, "noise": False}
    ),
    "nested": nested,
    "vmap": lambda nn: mapped(nn, **EACH),
    "vmap with shared parameters": lambda nn: mapped(
        nn, variable_axes={"params": None}, split_rngs={"params": False, "noise": True}
    ),
    "remat_scan": lambda nn: nn.remat_scan(nn.Dense, lengths=(2, 2))(3),
    "map_variables": signed,
    "cond": chosen,
}


@pytest.mark.parametrize("name", MODELS)
def test_same_variables_and_outputs(name):
    ours, theirs = MODELS[name](ramie_nn), MODELS[name](flax_nn)
    y, variables = ours.init_with_output(KEYS, X)
    y_peer, variables_peer = theirs.init_with_output(KEYS, X)
    assert list(_paths(variables)) == list(_paths(variables_peer))
    jax.tree.map(assert_exact, variables, variables_peer)
    jax.tree.map(assert_close, y, y_peer)
    jax.tree.map(
        assert_close, ours.apply(variables, X, rngs=KEYS), theirs.apply(variables, X, rngs=KEYS)
    )


def _paths(tree, at=()):
    for key, value in tree.items():
        yield from _paths(value, (*at, key)) if isinstance(value, dict) else [(*at, key)]


@pytest.mark.parametrize("name", ["nested", "remat_scan", "scan with shared parameters"])
def test_same_gradients_and_programs_of_equal_size(name):
    ours, theirs = MODELS[name](ramie_nn), MODELS[name](flax_nn)
    variables = theirs.init(KEYS, X)

    def gradient(model):
        def loss(v):
            return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(model.apply(v, X, rngs=KEYS)))

        return jax.grad(loss)

    jax.tree.map(
        lambda a, b: assert_close(a, b, "model"),
        gradient(ours)(variables),
        gradient(theirs)(variables),
    )
    sizes = [
        len(str(jax.make_jaxpr(lambda v, m=m: m.apply(v, X, rngs=KEYS))(variables)).splitlines())
        for m in (ours, theirs)
    ]
    assert sizes[0] <= sizes[1]
