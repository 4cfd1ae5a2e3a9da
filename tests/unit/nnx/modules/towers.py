"""Towers of blocks for tests of sharing, and what compares them with and without it."""

import jax
import jax.numpy as jnp
from tests.tolerance import assert_exact
from tests.unit.linen.machinery.towers import calls

from ramie import nnx

WIDTH, DEPTH = 8, 4
X = jnp.linspace(-1.0, 1.0, 2 * 3 * WIDTH).reshape(2, 3, WIDTH)


class Block(nnx.Module):
    def __init__(self, rngs, width=WIDTH, rate=0.0, act=nnx.gelu):
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.up = nnx.Linear(width, 2 * width, rngs=rngs)
        self.down = nnx.Linear(2 * width, width, rngs=rngs)
        self.drop = nnx.Dropout(rate, rngs=rngs)
        self.act = act

    def __call__(self, x):
        return x + self.drop(self.down(self.drop(self.act(self.up(self.norm(x))))))


class Tower(nnx.Module):
    def __init__(self, block=Block, depth=DEPTH, seed=0):
        rngs = nnx.Rngs(jax.random.key(seed))
        self.blocks = nnx.List([block(rngs) for _ in range(depth)])

    def __call__(self, x, *args, **kwargs):
        for block in self.blocks:
            x = block(x, *args, **kwargs)
        return x


def arrays(tree):
    """Return the leaves of a tree, keys as their numbers and references as what they hold."""
    leaves = [x[...] if isinstance(x, jax.Ref) else jnp.asarray(x) for x in jax.tree.leaves(tree)]
    return [
        jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        for x in leaves
    ]


def compare(fn, make, *args, shared=None, run=True):
    """Compile a function of a model both ways: each bit agrees, those of the model included.

    Args:
      fn: called with the model and `args`.
      make: makes the model, equal ones each time.
      *args: more arguments.
      shared: how many calls are shared, if that is known.
      run: whether to run it.
    """
    outcomes = []
    for enable in (True, False):
        model = make()
        step = nnx.jit(lambda *a: fn(*a), share_traces=enable)
        if shared is not None:
            found = calls(step.trace(model, *args).jaxpr.jaxpr)
            assert found == (shared if enable else 0)
        if not run:
            continue
        outcomes.append((step(model, *args), step(model, *args), nnx.state(model)))
    if not run:
        return
    got, want = outcomes
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(arrays(got), arrays(want), strict=True):
        assert_exact(a, b)


def compare_with_gradients(make, *args, shared, call=None):
    """As `compare`, and with gradients too."""
    call = call or (lambda model, *a: model(*a))

    def value_and_gradients(model, *a):
        def loss(model):
            leaves = jax.tree.leaves(call(model, *a))
            return sum((z**2 * (1 + z)).mean() for z in leaves)

        return nnx.value_and_grad(loss)(model)

    compare(call, make, *args, shared=shared, run=False)
    compare(value_and_gradients, make, *args)
