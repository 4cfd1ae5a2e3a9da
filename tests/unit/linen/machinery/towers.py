"""Towers of blocks for tests of sharing, and what compares them with and without it."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params
from tests.tolerance import assert_exact

import ramie.linen as nn

WIDTH, DEPTH = 8, 3
X = jnp.linspace(-1.0, 1.0, 2 * 3 * WIDTH).reshape(2, 3, WIDTH)
KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}


class Block(nn.Module):
    width: int = WIDTH
    act: Any = nn.gelu
    rate: float = 0.0

    @nn.compact
    def __call__(self, x, train=False):
        y = self.act(nn.Dense(2 * self.width)(nn.LayerNorm()(x)))
        y = nn.Dropout(self.rate, deterministic=not train)(nn.Dense(self.width)(y))
        return x + nn.Dropout(self.rate, deterministic=not train)(y)


class Tower(nn.Module):
    block: Any = Block
    depth: int = DEPTH

    @nn.compact
    def __call__(self, x, *args):
        for _ in range(self.depth):
            x = self.block()(x, *args)
        return x


def called(jaxpr):
    """Return the shared program of each call, which is a function named after a module class."""
    found = []
    for equation in jaxpr.eqns:
        name = str(equation.params.get("name", ""))
        if equation.primitive.name in ("jit", "pjit") and name[:1].isupper():
            found.append(equation.params["jaxpr"])
        else:
            found += [one for inner in jaxprs_in_params(equation.params) for one in called(inner)]
    return found


def calls(jaxpr):
    """Count calls of shared programs."""
    return len(called(jaxpr))


def variables_of(model, *args):
    made = model.init(KEYS, *args)
    leaves, treedef = jax.tree_util.tree_flatten(made)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    drawn = [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree_util.tree_unflatten(treedef, drawn)


def compare(fn, *args, shared=None, programs=None):
    """Compile a function both ways: every bit agrees, so many calls are of so many programs."""
    with nn.share_traces():
        traced = jax.jit(lambda *a: fn(*a)).trace(*args)
    found = called(traced.jaxpr.jaxpr)
    assert shared in (None, len(found)), len(found)
    assert programs in (None, len(set(map(id, found)))), len(set(map(id, found)))
    got = traced.lower().compile()(*args)
    with nn.share_traces(False):
        want = jax.jit(lambda *a: fn(*a))(*args)
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(want)
    jax.tree_util.tree_map(assert_exact, got, want)
    return traced


def compare_with_gradients(model, variables, *args, shared, **kwargs):
    def value_and_gradients(v):
        def loss(v):
            y = model.apply(v, *args, **kwargs)
            return sum((z**2 * (1 + z)).mean() for z in jax.tree_util.tree_leaves(y)), y

        return jax.value_and_grad(loss, has_aux=True)(v)

    with nn.share_traces():
        jaxpr = jax.make_jaxpr(lambda v: model.apply(v, *args, **kwargs))(variables)
    found = calls(jaxpr.jaxpr)
    assert found == shared, found
    compare(value_and_gradients, variables)
