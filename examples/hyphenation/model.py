"""The model: a transformer without a direction, so that each letter sees all others.

Shapes: ``letters: [batch, length]`` integers with 0 behind the end, ``x: [batch, length, width]``.
"""

import jax
import jax.numpy as jnp
from examples.hyphenation.settings import Settings
from examples.hyphenation.words import LETTER_COUNT, PADDING

from ramie import nnx


class Attention(nnx.Module):
    """Attention of several heads; how far letters are apart is told by rotation."""

    def __init__(self, settings: Settings, rngs: nnx.Rngs):
        self.heads, self.size = settings.heads, settings.width // settings.heads
        self.query = nnx.Linear(settings.width, settings.width, rngs=rngs)
        self.key = nnx.Linear(settings.width, settings.width, rngs=rngs)
        self.value = nnx.Linear(settings.width, settings.width, rngs=rngs)
        self.out = nnx.Linear(settings.width, settings.width, rngs=rngs)
        self.rope = nnx.RoPE()

    def __call__(self, x, there):
        """Let each letter look at those that are `there`, ``[batch, length]``."""
        batch, length, width = x.shape
        shape = (batch, length, self.heads, self.size)
        query, key = self._turned(self.query(x), shape), self._turned(self.key(x), shape)
        value = self.value(x).reshape(shape)
        # [batch, 1, 1, length]: the same for all heads and all letters that look.
        found = jax.nn.dot_product_attention(query, key, value, mask=there[:, None, None, :])
        return self.out(found.reshape(batch, length, width))

    def _turned(self, x, shape):
        heads_first = jnp.swapaxes(x.reshape(shape), 1, 2)
        return jnp.swapaxes(self.rope(heads_first, jnp.arange(shape[1])), 1, 2)


class Layer(nnx.Module):
    """Attention, then two linear layers for each letter; both are added to what came in."""

    def __init__(self, settings: Settings, rngs: nnx.Rngs):
        self.before_attention = nnx.LayerNorm(settings.width, rngs=rngs)
        self.attention = Attention(settings, rngs)
        self.before_hidden = nnx.LayerNorm(settings.width, rngs=rngs)
        self.up = nnx.Linear(settings.width, settings.hidden, rngs=rngs)
        self.down = nnx.Linear(settings.hidden, settings.width, rngs=rngs)

    def __call__(self, x, there):
        """Map features to features."""
        x = x + self.attention(self.before_attention(x), there)
        return x + self.down(nnx.gelu(self.up(self.before_hidden(x))))


class Tagger(nnx.Module):
    """Letters in, a number for each out: above 0 where the word may be broken behind it."""

    def __init__(self, settings: Settings, *, rngs: nnx.Rngs):
        self.embed = nnx.Embed(LETTER_COUNT, settings.width, rngs=rngs)
        self.layers = nnx.List(Layer(settings, rngs) for _ in range(settings.depth))
        self.norm = nnx.LayerNorm(settings.width, rngs=rngs)
        self.last = nnx.Linear(settings.width, 1, rngs=rngs)

    def __call__(self, letters):
        """Map letters ``[batch, length]`` to logits of the same shape."""
        there = letters != PADDING
        x = self.embed(letters)
        for layer in self.layers:
            x = layer(x, there)
        return self.last(self.norm(x))[..., 0]
