"""Transformations used wrongly raise errors of Flax's classes; names inside of them are Flax's."""

import jax
import jax.numpy as jnp
import pytest

import ramie.linen

flax_linen = pytest.importorskip("flax.linen")

KEY = jax.random.key(0)
RNGS = {"params": KEY, "dropout": KEY}
X = jnp.ones((3, 2))
STATE = {"state": {"sums": {"count": jnp.zeros(())}}}


class Parts:
    """Modules of one library."""

    def __init__(self, nn):
        self.nn = nn

        class Affine(nn.Module):
            @nn.compact
            def __call__(self, x):
                return nn.Dense(2)(x)

        class Dropped(nn.Module):
            @nn.compact
            def __call__(self, x):
                return nn.Dropout(0.5, deterministic=False)(x)

        class Sums(nn.Module):
            @nn.compact
            def __call__(self, x):
                count = self.variable("state", "count", lambda: jnp.zeros(()))
                count.value += x.sum()
                return x + count.value

        class Body(nn.Module):
            @nn.compact
            def __call__(self, carry, x):
                return nn.Dense(2)(carry), x

        class Holder(nn.Module):
            fn: object

            def setup(self):
                self.left, self.right = nn.Dense(2), nn.Dense(2)
                self.sums = Sums()

            def __call__(self, *args):
                return self.fn(self, *args)

        self.affine, self.dropped, self.sums, self.body = Affine, Dropped, Sums, Body
        self.holder = Holder

    def init(self, model, *args):
        return jax.eval_shape(model.init, RNGS, *args)

    def vmap(self, cls, *args, **options):
        mapped = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, **options}
        return self.init(self.nn.vmap(cls, **mapped)(), *args)

    def scan(self, *args, **options):
        scanned = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, **options}
        return self.init(self.nn.scan(self.body, **scanned)(), *args)

    def held(self, fn, *args):
        return self.init(self.holder(fn), *args)

    def with_state(self, fn, mutable=("state",)):
        model = self.holder(fn)
        return jax.eval_shape(lambda: model.apply(STATE, X, rngs={"dropout": KEY}, mutable=mutable))

    def loop(self, mutable=("state",), **options):
        return self.with_state(
            lambda m, x: self.nn.while_loop(
                lambda m, c: c < 3.0,
                lambda m, c: c + m.sums(jnp.ones(())),
                m,
                jnp.zeros(()),
                **options,
            ),
            mutable,
        )


TRANSFORMS = ["vmap", "remat", "jit", "fold_rngs", "map_variables", "scan", "remat_scan"]
OPTIONS = {
    "vmap": {"variable_axes": {}, "split_rngs": {}},
    "remat_scan": {"lengths": (2,)},
}

CASES = {
    **{
        f"{name} of an instance": lambda p, name=name: getattr(p.nn, name)(
            p.affine(), **OPTIONS.get(name, {})
        )
        for name in TRANSFORMS
    },
    "result is a module": lambda p: p.held(
        lambda m, x: p.nn.remat(lambda m, x: p.nn.Dense(2))(m, x), X
    ),
    "vmap without the stream": lambda p: p.vmap(p.affine, X, split_rngs={}),
    "vmap without the collection": lambda p: p.vmap(p.affine, X, variable_axes={}),
    "vmap that shares different values": lambda p: p.vmap(
        p.affine, X, variable_axes={"params": None}
    ),
    "vmap without a size": lambda p: p.vmap(p.affine, X, in_axes=None),
    "vmap of another size": lambda p: p.vmap(p.affine, X, axis_size=4),
    "vmap with axes for more arguments": lambda p: p.vmap(p.affine, X, in_axes=(0, 0)),
    "vmap that shares what copies write": lambda p: p.vmap(
        p.sums, X, variable_axes={"state": None}
    ),
    "methods is a name": lambda p: p.vmap(p.affine, X, methods="call"),
    "methods that are not there": lambda p: p.vmap(p.affine, X, methods=["call"]),
    "scan without the stream": lambda p: p.scan(jnp.ones(2), X, split_rngs={}),
    "scan without the collection": lambda p: p.scan(jnp.ones(2), X, variable_axes={}),
    "scan of another length": lambda p: p.scan(jnp.ones(2), X, length=4),
    "scan without a length": lambda p: p.scan(
        jnp.ones(2), X, in_axes=p.nn.broadcast, variable_axes={}
    ),
    "scan that makes what it carries": lambda p: p.scan(
        jnp.ones(2), X, variable_axes={}, variable_carry="params"
    ),
    "scan that broadcasts a slice": lambda p: p.scan(jnp.ones(2), X, out_axes=p.nn.broadcast),
    "cond with parameters on one side": lambda p: p.held(
        lambda m, x: p.nn.cond(True, lambda m, x: m.left(x), lambda m, x: x, m, x), X
    ),
    "cond that writes what is immutable": lambda p: p.with_state(
        lambda m, x: p.nn.cond(True, lambda m, x: m.sums(x), lambda m, x: x, m, x), False
    ),
    "cond without the collection": lambda p: p.with_state(
        lambda m, x: p.nn.cond(True, lambda m, x: m.sums(x), lambda m, x: x, m, x, variables=False)
    ),
    "cond without the stream": lambda p: p.with_state(
        lambda m, x: p.nn.cond(
            True,
            lambda m, x: x + jax.random.uniform(m.make_rng("dropout")),
            lambda m, x: x,
            m,
            x,
            rngs=False,
        )
    ),
    "cond with results of two shapes": lambda p: p.with_state(
        lambda m, x: p.nn.cond(True, lambda m, x: x, lambda m, x: x[0], m, x)
    ),
    "loop that writes what it does not carry": lambda p: p.loop(),
    "loop that writes what is immutable": lambda p: p.loop(False, carry_variables="state"),
    "loop whose condition writes": lambda p: p.with_state(
        lambda m, x: p.nn.while_loop(
            lambda m, c: m.sums(c) < 3.0,
            lambda m, c: c + 1,
            m,
            jnp.zeros(()),
            carry_variables="state",
        )
    ),
    "loop without the stream": lambda p: p.with_state(
        lambda m, x: p.nn.while_loop(
            lambda m, c: c < 3.0,
            lambda m, c: c + jax.random.uniform(m.make_rng("dropout")),
            m,
            jnp.zeros(()),
        )
    ),
    "grad of an array": lambda p: p.held(lambda m, x: p.nn.grad(lambda m, x: m.left(x), m, x), X),
    "grad that writes what is immutable": lambda p: p.with_state(
        lambda m, x: p.nn.grad(lambda m, x: m.sums(x).sum(), m, x), False
    ),
    "jvp with other tangents": lambda p: p.with_state(
        lambda m, x: p.nn.jvp(lambda m, x: m.sums(x), m, (x,), (x,), {"state": {"other": x}})
    ),
    "static arguments that have no hash": lambda p: p.held(
        lambda m, x: p.nn.jit(lambda m, x: x, static_argnums=1)(m, x), X
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_error(name):
    raised = []
    for nn in (flax_linen, ramie.linen):
        with pytest.raises(Exception) as caught:
            CASES[name](Parts(nn))
        raised.append(caught.type.__name__)
    assert raised[1] == raised[0]


PLACES = {
    "twice": lambda m, x: m.step(m.step(x)),
    "after another": lambda m, x: m.step(m.layer(x)),
    "around another": lambda m, x: m.step(m.layer(m.step(x))),
    "in turns": lambda m, x: m.step(m.layer(m.step(m.layer(x)))),
    "two functions": lambda m, x: m.other_step(m.step(x)),
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("transform", ["jit", "fold_rngs", "remat"])
def test_names_that_a_transformed_method_gives(transform, name):
    found = []
    for nn in (flax_linen, ramie.linen):

        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, nn=nn):
                return PLACES[name](self, x)

            def layer(self, x, nn=nn):
                return nn.Dense(2)(x)

            step = getattr(nn, transform)(layer)
            other_step = getattr(nn, transform)(lambda self, x, nn=nn: nn.Dense(2)(x))

        found.append(jax.eval_shape(Model().init, KEY, X))
    assert found[1] == found[0]
