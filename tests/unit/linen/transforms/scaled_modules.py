"""Modules that the tests of transformations transform."""

import jax
import jax.numpy as jnp

from ramie import linen as nn

KEY = jax.random.key(0)
X = jnp.arange(6.0).reshape(2, 3)


class Scale(nn.Module):
    """A parameter made in a compact method."""

    factor: float = 1.0

    @nn.compact
    def __call__(self, x):
        return x * self.factor * self.param("w", nn.initializers.normal(1.0), ())


class ScaleInSetup(nn.Module):
    """A parameter and a submodule made in setup."""

    def setup(self):
        self.w = self.param("w", nn.initializers.normal(1.0), ())
        self.inner = Scale()

    def __call__(self, x):
        return self.inner(x * self.w)


def shapes(tree):
    return jax.tree.map(jnp.shape, tree)


def mapped(target, **options):
    return nn.vmap(target, variable_axes={"params": 0}, split_rngs={"params": True}, **options)
