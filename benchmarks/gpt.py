"""A GPT three times: over a Linen namespace, over an NNX namespace, and in plain JAX.

All forms take one tree of parameters, under the same names, and compute the same numbers: matrices
in bfloat16, statistics of norms and the loss in float32.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

EPSILON = 1e-5
Attention = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


class Size(NamedTuple):
    """How large the model and its batches are."""

    layers: int
    width: int
    heads: int
    length: int
    vocabulary: int
    batch: int
    dtype: Any = jnp.bfloat16

    @property
    def tokens(self) -> int:
        """Return how many tokens a step sees."""
        return self.batch * self.length


FULL = Size(12, 768, 12, 1024, 50257, 16)  # 124 million parameters
SMALL = Size(2, 32, 2, 16, 64, 2)


def attention(implementation: str) -> Attention:
    """Return causal attention by one of the implementations of JAX."""
    return functools.partial(
        jax.nn.dot_product_attention, is_causal=True, implementation=implementation
    )


def tokens(size: Size) -> np.ndarray:
    """Return a batch, one token longer than the input."""
    numbers = np.random.default_rng(1)
    shape = (size.batch, size.length + 1)
    return numbers.integers(0, size.vocabulary, shape, dtype=np.int32)


def parameters(size: Size) -> dict[str, Any]:
    """Draw parameters of all forms, on the host."""
    numbers = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return 0.02 * numbers.standard_normal(shape, np.float32)

    def dense(features_in: int, features: int) -> dict[str, np.ndarray]:
        return {"kernel": draw(features_in, features), "bias": np.zeros(features, np.float32)}

    def norm() -> dict[str, np.ndarray]:
        return {"scale": np.ones(size.width, np.float32), "bias": np.zeros(size.width, np.float32)}

    tree: dict[str, Any] = {
        "token": {"embedding": draw(size.vocabulary, size.width)},
        "position": {"embedding": draw(size.length, size.width)},
        "norm": norm(),
    }
    for layer in range(size.layers):
        tree[f"block_{layer}"] = {
            "norm_1": norm(),
            "qkv": dense(size.width, 3 * size.width),
            "out": dense(size.width, size.width),
            "norm_2": norm(),
            "up": dense(size.width, 4 * size.width),
            "down": dense(4 * size.width, size.width),
        }
    return tree


def loss_of(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean cross entropy, in float32."""
    logs = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(logs, labels[..., None], axis=-1).mean()


def attended(projected: jax.Array, size: Size, attend: Attention) -> jax.Array:
    """Split a projection into queries, keys and values of heads, and mix the values."""
    heads = size.heads, size.width // size.heads
    query, key, value = jnp.split(projected.reshape(*projected.shape[:2], -1, heads[1]), 3, axis=2)
    return attend(query, key, value).reshape(*projected.shape[:2], size.width)


def linen_gpt(nn: ModuleType, size: Size, attend: Attention) -> Any:
    """Return the model as a module of `nn`, which is `ramie.linen` or `flax.linen`."""
    dense = functools.partial(nn.Dense, dtype=size.dtype)
    norm = functools.partial(nn.LayerNorm, epsilon=EPSILON, dtype=size.dtype)
    embed = functools.partial(nn.Embed, features=size.width, dtype=size.dtype)

    class Block(nn.Module):  # type: ignore[name-defined]
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            y = dense(3 * size.width, name="qkv")(norm(name="norm_1")(x))
            x = x + dense(size.width, name="out")(attended(y, size, attend))
            y = jax.nn.gelu(dense(4 * size.width, name="up")(norm(name="norm_2")(x)))
            return x + dense(size.width, name="down")(y)

    class GPT(nn.Module):  # type: ignore[name-defined]
        @nn.compact
        def __call__(self, ids: jax.Array) -> jax.Array:
            token = embed(size.vocabulary, name="token")
            positions = jnp.arange(ids.shape[1])[None]
            x = token(ids) + embed(size.length, name="position")(positions)
            for layer in range(size.layers):
                x = Block(name=f"block_{layer}")(x)
            return token.attend(norm(name="norm")(x))

    return GPT()


def nnx_gpt(nnx: ModuleType, size: Size, attend: Attention) -> Callable[[], Any]:
    """Return what makes the model as a module of `nnx`, which is `ramie.nnx` or `flax.nnx`."""
    dense = functools.partial(nnx.Linear, dtype=size.dtype)
    norm = functools.partial(nnx.LayerNorm, size.width, epsilon=EPSILON, dtype=size.dtype)
    embed = functools.partial(nnx.Embed, features=size.width, dtype=size.dtype)

    class Block(nnx.Module):  # type: ignore[name-defined]
        def __init__(self, rngs: Any) -> None:
            self.norm_1, self.norm_2 = norm(rngs=rngs), norm(rngs=rngs)
            self.qkv = dense(size.width, 3 * size.width, rngs=rngs)
            self.out = dense(size.width, size.width, rngs=rngs)
            self.up = dense(size.width, 4 * size.width, rngs=rngs)
            self.down = dense(4 * size.width, size.width, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            x = x + self.out(attended(self.qkv(self.norm_1(x)), size, attend))
            return x + self.down(jax.nn.gelu(self.up(self.norm_2(x))))

    class GPT(nnx.Module):  # type: ignore[name-defined]
        def __init__(self, rngs: Any) -> None:
            self.token = embed(size.vocabulary, rngs=rngs)
            self.position = embed(size.length, rngs=rngs)
            for layer in range(size.layers):
                setattr(self, f"block_{layer}", Block(rngs))
            self.norm = norm(rngs=rngs)

        def __call__(self, ids: jax.Array) -> jax.Array:
            x = self.token(ids) + self.position(jnp.arange(ids.shape[1])[None])
            for layer in range(size.layers):
                x = getattr(self, f"block_{layer}")(x)
            return self.token.attend(self.norm(x))

    return lambda: GPT(nnx.Rngs(0))


def raw_gpt(params: dict[str, Any], ids: jax.Array, size: Size, attend: Attention) -> jax.Array:
    """Compute the model from its parameters with nothing but jax and jnp."""
    table = params["token"]["embedding"].astype(size.dtype)
    places = params["position"]["embedding"].astype(size.dtype)
    x = jnp.take(table, ids, axis=0) + places[None, : ids.shape[1]]
    for layer in range(size.layers):
        own = params[f"block_{layer}"]
        y = _dense(own["qkv"], _norm(own["norm_1"], x))
        x = x + _dense(own["out"], attended(y, size, attend))
        y = jax.nn.gelu(_dense(own["up"], _norm(own["norm_2"], x)))
        x = x + _dense(own["down"], y)
    return _norm(params["norm"], x) @ table.T


def _dense(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return x @ params["kernel"].astype(x.dtype) + params["bias"].astype(x.dtype)[None, None]


def _norm(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    wide = x.astype(jnp.float32)
    mean = wide.mean(-1, keepdims=True)
    variance = jnp.maximum(0.0, (wide * wide).mean(-1, keepdims=True) - mean * mean)
    scale = jax.lax.rsqrt(variance + EPSILON) * params["scale"][None, None]
    return ((wide - mean) * scale + params["bias"][None, None]).astype(x.dtype)
