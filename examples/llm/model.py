"""The model: a decoder of equal layers, with names for the axes of its parameters.

Every parameter names its axes. What a name means on a mesh is said by the rules in `meshes.py`, so
that nothing here changes from one device to many.
"""

from functools import partial

import jax
import jax.numpy as jnp
from examples.llm.meshes import constrained
from examples.llm.settings import VOCABULARY, Settings

from ramie import nnx


def linear(inputs, outputs, names, rngs):
    """A product with a matrix, without a bias."""
    return nnx.Linear(
        inputs,
        outputs,
        use_bias=False,
        rngs=rngs,
        kernel_init=nnx.initializers.normal(inputs**-0.5),
        kernel_metadata={"sharding_names": names},
    )


def norm(width, rngs):
    """Features divided by their root mean square."""
    return nnx.RMSNorm(width, rngs=rngs, scale_metadata={"sharding_names": ("embed",)})


class Attention(nnx.Module):
    """Causal attention of grouped heads, positions by rotation, with a cache for sampling."""

    def __init__(self, settings: Settings, rngs: nnx.Rngs, cached: int = 0):
        self.heads, self.groups = settings.heads, settings.groups
        self.size = settings.width // settings.heads
        inner = self.groups * self.size
        self.query = linear(settings.width, settings.width, ("embed", "heads"), rngs)
        self.key = linear(settings.width, inner, ("embed", "heads"), rngs)
        self.value = linear(settings.width, inner, ("embed", "heads"), rngs)
        self.out = linear(settings.width, settings.width, ("heads", "embed"), rngs)
        self.rope = nnx.RoPE()
        if cached:  # keys and values of as many sequences
            shape = (cached, settings.length, self.groups, self.size)
            self.keys = nnx.Cache(jnp.zeros(shape))
            self.values = nnx.Cache(jnp.zeros(shape))

    def __call__(self, x, start, sampling):
        """Attend; ``x: [batch, length, width]`` stands at positions from `start` on."""
        batch, length, _ = x.shape
        positions = start + jnp.arange(length)
        query = self.query(x).reshape(batch, length, self.heads, self.size)
        key = self.key(x).reshape(batch, length, self.groups, self.size)
        value = self.value(x).reshape(batch, length, self.groups, self.size)
        query, key = self._turned(query, positions), self._turned(key, positions)
        mask = None
        if sampling:
            at = (0, start, 0, 0)
            self.keys[...] = jax.lax.dynamic_update_slice(self.keys[...], key, at)
            self.values[...] = jax.lax.dynamic_update_slice(self.values[...], value, at)
            key, value = self.keys[...], self.values[...]
            mask = jnp.arange(key.shape[1])[None, :] <= positions[:, None]
        found = jax.nn.dot_product_attention(
            query,
            key,
            value,
            mask=mask if mask is None else mask[None, None],
            is_causal=not sampling,
        )
        return self.out(found.reshape(batch, length, -1))

    def _turned(self, x, positions):
        return jnp.swapaxes(self.rope(jnp.swapaxes(x, 1, 2), positions), 1, 2)


class Layer(nnx.Module):
    """Attention, then a gated part; both are added to what came in."""

    def __init__(self, settings: Settings, *, rngs: nnx.Rngs, cached: int = 0):
        width, hidden = settings.width, settings.hidden
        self.before_attention = norm(width, rngs)
        self.attention = Attention(settings, rngs, cached)
        self.before_gate = norm(width, rngs)
        self.gate = linear(width, hidden, ("embed", "hidden"), rngs)
        self.up = linear(width, hidden, ("embed", "hidden"), rngs)
        self.down = linear(hidden, width, ("hidden", "embed"), rngs)

    def __call__(self, x, start, *, sampling):
        """Map features ``[batch, length, width]`` to features."""
        x = constrained(x, "batch", None, None)
        x = x + self.attention(self.before_attention(x), start, sampling)
        y = self.before_gate(x)
        return x + self.down(nnx.silu(self.gate(y)) * self.up(y))


class Transformer(nnx.Module):
    """Bytes in, logits of the next byte out.

    Args:
      settings: the sizes.
      cached: for how many sequences the model keeps keys and values while it samples; 0 for none.
      rngs: for the first parameters.
    """

    def __init__(self, settings: Settings, *, rngs: nnx.Rngs, cached: int = 0):
        self.embed = nnx.Embed(
            VOCABULARY,
            settings.width,
            rngs=rngs,
            embedding_init=nnx.initializers.normal(0.02),
            embedding_metadata={"sharding_names": ("vocabulary", "embed")},
        )
        layer = partial(Layer, settings, cached=cached)
        self.layers = nnx.Repeat(
            layer,
            settings.depth,
            rngs=rngs,
            scan=settings.scan,
            remat=settings.remat,
            partition_name="layers",
        )
        self.last = norm(settings.width, rngs)
        self.head = linear(settings.width, VOCABULARY, ("embed", "vocabulary"), rngs)

    def __call__(self, tokens, start=0, *, sampling: bool = False):
        """Map bytes ``[batch, length]`` to logits ``[batch, length, 256]``.

        Args:
          tokens: integers.
          start: the position of the first of them.
          sampling: whether to read and write the cache.
        """
        x = self.embed(tokens)
        x = self.layers(x, jnp.asarray(start), sampling=sampling)
        return constrained(self.head(self.last(x)), "batch", None, "vocabulary")
