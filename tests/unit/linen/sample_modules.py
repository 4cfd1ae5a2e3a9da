"""Small modules that the tests of the module system share; no layer of the library is used."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import ramie.linen as nn

KEY = jax.random.key(0)
X = jnp.ones((1, 2))


class Affine(nn.Module):
    features: int
    kernel_init: Callable[..., Any] = jax.nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        return x @ kernel


class Counter(nn.Module):
    @nn.compact
    def __call__(self, x):
        count = self.variable("counter", "n", lambda: jnp.zeros(()))
        if not self.is_initializing():
            count.value += 1
        return x


def shapes(variables):
    return jax.tree.map(jnp.shape, variables)
