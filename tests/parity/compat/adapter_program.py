"""Adapters and quantisation of one's own, by what Flax offers for it; run on Flax and on Ramie."""

import contextlib
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

X = jax.random.normal(jax.random.key(1), (2, 5, 8))


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(8)(x))
        x = nn.MultiHeadDotProductAttention(num_heads=2)(x)
        return nn.Dense(3)(nn.Conv(8, (3,))(x))


class Objects(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.LinearGeneral(8, 8, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 8, decode=False, rngs=rngs)

    def __call__(self, x):
        return self.attention(self.first(x), sow_weights=True)


class Adapted(nn.Module):
    """Adds low-rank maps to the dense layers of a model, by interception, in one scope with it."""

    model: nn.Module

    def __post_init__(self):
        super().__post_init__()
        if self.scope is not None:
            nn.share_scope(self, self.model)

    @nn.compact
    def __call__(self, x):
        def adapt(next_fun, args, kwargs, context):
            y = next_fun(*args, **kwargs)
            if isinstance(context.module, nn.Dense) and context.method_name == "__call__":
                name, sizes = context.module.name, (args[0].shape[-1], y.shape[-1])
                a = self.param(f"{name}_a", nn.initializers.normal(), (sizes[0], 2))
                b = self.param(f"{name}_b", nn.initializers.normal(), (2, sizes[1]))
                y = y + args[0] @ a @ b
            return y

        with nn.intercept_methods(adapt):
            return self.model(x)


def rounded(x):
    scale = jnp.max(jnp.abs(x)) / 127
    return jnp.round(x / scale) * scale


@contextlib.contextmanager
def quantised():
    """Replace the products of JAX by rounded ones."""
    shipped = lax.dot_general, jnp.einsum, lax.conv_general_dilated

    def dot_general(a, b, *args, **kwargs):
        return shipped[0](rounded(a), rounded(b), *args, **kwargs)

    def einsum(equation, a, b, **kwargs):
        kwargs.pop("_dot_general", None)
        return shipped[1](equation, rounded(a), rounded(b), **kwargs)

    def convolution(a, b, *args, **kwargs):
        return shipped[2](rounded(a), rounded(b), *args, **kwargs)

    lax.dot_general, jnp.einsum, lax.conv_general_dilated = dot_general, einsum, convolution
    try:
        yield
    finally:
        lax.dot_general, jnp.einsum, lax.conv_general_dilated = shipped


def shapes(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [[jax.tree_util.keystr(path), list(x.shape)] for path, x in leaves]


def main():
    found = {"library": nn.Module.__module__.partition(".")[0]}
    model, objects = Model(), Objects(nnx.Rngs(0))
    variables = model.init(jax.random.key(0), X)
    found["before"] = [model.apply(variables, X).tolist(), objects(X).tolist()]
    with quantised():
        found["quantised"] = [model.apply(variables, X).tolist(), objects(X).tolist()]
    found["after"] = [model.apply(variables, X).tolist(), objects(X).tolist()]
    adapted = Adapted(model)
    variables = adapted.init(jax.random.key(0), X)
    found["adapter params"] = shapes(variables)
    found["adapted"] = adapted.apply(variables, X).tolist()
    print(json.dumps(found))


main()
