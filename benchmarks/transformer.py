"""The small transformer of the host-cost rows: once over a Linen namespace, once in plain JAX.

Shapes are tiny on purpose: what is measured is Python, not arithmetic. 24 layers, 389 parameters.
Both forms compute the same numbers from the same parameter tree.
"""

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

LAYERS = 24
BATCH, LENGTH, VOCABULARY = 2, 16, 64
WIDTH, HEADS, HIDDEN = 32, 4, 64
EPSILON = 1e-6


def tokens() -> jax.Array:
    return jnp.arange(BATCH * LENGTH, dtype=jnp.int32).reshape(BATCH, LENGTH) % VOCABULARY


def linen_transformer(nn: ModuleType) -> Any:
    """Return the model as a module of `nn`, which is `ramie.linen` or `flax.linen`."""

    class Block(nn.Module):  # type: ignore[name-defined]
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            split = (HEADS, WIDTH // HEADS)
            y = nn.LayerNorm(epsilon=EPSILON)(x)
            query = nn.DenseGeneral(split, name="query")(y)
            key = nn.DenseGeneral(split, name="key")(y)
            value = nn.DenseGeneral(split, name="value")(y)
            y = attend(query, key, value)
            x = x + nn.DenseGeneral(WIDTH, axis=(-2, -1), name="out")(y)
            y = nn.LayerNorm(epsilon=EPSILON)(x)
            y = jax.nn.gelu(nn.Dense(HIDDEN)(y))
            return x + nn.Dense(WIDTH)(y)

    class Transformer(nn.Module):  # type: ignore[name-defined]
        @nn.compact
        def __call__(self, ids: jax.Array) -> jax.Array:
            x = nn.Embed(VOCABULARY, WIDTH)(ids)
            for _ in range(LAYERS):
                x = Block()(x)
            return nn.Dense(VOCABULARY)(nn.LayerNorm(epsilon=EPSILON)(x))

    return Transformer()


def nnx_transformer(nnx: ModuleType) -> Any:
    """Return the model as a module of `nnx`, which is `ramie.nnx` or `flax.nnx`."""

    class Block(nnx.Module):  # type: ignore[name-defined]
        def __init__(self, rngs: Any) -> None:
            split = (HEADS, WIDTH // HEADS)
            self.before = nnx.LayerNorm(WIDTH, epsilon=EPSILON, rngs=rngs)
            self.query = nnx.LinearGeneral(WIDTH, split, rngs=rngs)
            self.key = nnx.LinearGeneral(WIDTH, split, rngs=rngs)
            self.value = nnx.LinearGeneral(WIDTH, split, rngs=rngs)
            self.out = nnx.LinearGeneral(split, WIDTH, axis=(-2, -1), rngs=rngs)
            self.between = nnx.LayerNorm(WIDTH, epsilon=EPSILON, rngs=rngs)
            self.up = nnx.Linear(WIDTH, HIDDEN, rngs=rngs)
            self.down = nnx.Linear(HIDDEN, WIDTH, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            y = self.before(x)
            x = x + self.out(attend(self.query(y), self.key(y), self.value(y)))
            return x + self.down(jax.nn.gelu(self.up(self.between(x))))

    class Transformer(nnx.Module):  # type: ignore[name-defined]
        def __init__(self, rngs: Any) -> None:
            self.embed = nnx.Embed(VOCABULARY, WIDTH, rngs=rngs)
            self.blocks = nnx.List([Block(rngs) for _ in range(LAYERS)])
            self.norm = nnx.LayerNorm(WIDTH, epsilon=EPSILON, rngs=rngs)
            self.head = nnx.Linear(WIDTH, VOCABULARY, rngs=rngs)

        def __call__(self, ids: jax.Array) -> jax.Array:
            x = self.embed(ids)
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    return nnx.eval_shape(lambda: Transformer(nnx.Rngs(0)))


def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Mix values by scaled dot products; the same jnp code in both forms of the model."""
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / jnp.sqrt(query.shape[-1])
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), value)


def raw_transformer(variables: dict[str, Any], ids: jax.Array) -> jax.Array:
    """Compute the model from its parameters with nothing but jax and jnp."""
    params = variables["params"]
    x = jnp.take(params["Embed_0"]["embedding"], ids, axis=0)
    for layer in range(LAYERS):
        x = _block(params[f"Block_{layer}"], x)
    return _dense(params["Dense_0"], _layer_norm(params["LayerNorm_0"], x))


def _block(params: dict[str, Any], x: jax.Array) -> jax.Array:
    y = _layer_norm(params["LayerNorm_0"], x)
    y = attend(
        _dense_general(params["query"], y),
        _dense_general(params["key"], y),
        _dense_general(params["value"], y),
    )
    x = x + _dense_general(params["out"], y, axes=2)
    y = _layer_norm(params["LayerNorm_1"], x)
    y = jax.nn.gelu(_dense(params["Dense_0"], y))
    return x + _dense(params["Dense_1"], y)


def _dense(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return x @ params["kernel"] + params["bias"]


def _dense_general(params: dict[str, jax.Array], x: jax.Array, axes: int = 1) -> jax.Array:
    return jnp.tensordot(x, params["kernel"], axes) + params["bias"]


def _layer_norm(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    mean = x.mean(-1, keepdims=True)
    variance = jnp.maximum(0.0, (x * x).mean(-1, keepdims=True) - mean * mean)
    scale = jax.lax.rsqrt(variance + EPSILON) * params["scale"]
    return (x - mean) * scale + params["bias"]
