"""The model: an encoder that reads a phrase, and a decoder that writes it in another language.

Shapes: tokens, segments and positions ``[batch, length]``, integers; ``x: [batch, length, width]``.
"""

import jax.numpy as jnp
from examples.translation.settings import Settings

from ramie import nnx


def attention(settings: Settings, rngs: nnx.Rngs) -> nnx.MultiHeadAttention:
    """Make the attention of a layer."""
    return nnx.MultiHeadAttention(
        settings.heads, settings.width, dropout_rate=0.0, decode=False, rngs=rngs
    )


class Hidden(nnx.Module):
    """Two linear layers for each token."""

    def __init__(self, settings: Settings, rngs: nnx.Rngs):
        self.up = nnx.Linear(settings.width, settings.hidden, rngs=rngs)
        self.down = nnx.Linear(settings.hidden, settings.width, rngs=rngs)

    def __call__(self, x):
        """Map features to features."""
        return self.down(nnx.gelu(self.up(x)))


class EncoderLayer(nnx.Module):
    """Attention, then two linear layers; what each makes is added to what came in."""

    def __init__(self, settings: Settings, rngs: nnx.Rngs):
        self.norms = nnx.List(nnx.LayerNorm(settings.width, rngs=rngs) for _ in range(2))
        self.attention = attention(settings, rngs)
        self.hidden = Hidden(settings, rngs)
        self.dropout = nnx.Dropout(settings.dropout, rngs=rngs)

    def __call__(self, x, mask, training):
        """Map features to features; `mask` says who sees whom, ``[batch, 1, length, length]``."""
        hide = lambda x: self.dropout(x, deterministic=not training)
        x = x + hide(self.attention(self.norms[0](x), mask=mask))
        return x + hide(self.hidden(self.norms[1](x)))


class DecoderLayer(nnx.Module):
    """As a layer of the encoder, and between its parts a look at what the encoder made."""

    def __init__(self, settings: Settings, rngs: nnx.Rngs):
        self.norms = nnx.List(nnx.LayerNorm(settings.width, rngs=rngs) for _ in range(3))
        self.attention = attention(settings, rngs)
        self.across = attention(settings, rngs)
        self.hidden = Hidden(settings, rngs)
        self.dropout = nnx.Dropout(settings.dropout, rngs=rngs)

    def __call__(self, x, memory, mask, mask_across, training):
        """Map features to features; `memory` is what the encoder made."""
        hide = lambda x: self.dropout(x, deterministic=not training)
        x = x + hide(self.attention(self.norms[0](x), mask=mask))
        x = x + hide(self.across(self.norms[1](x), memory, mask=mask_across))
        return x + hide(self.hidden(self.norms[2](x)))


class Embedding(nnx.Module):
    """Features of tokens and of their positions, added."""

    def __init__(self, tokens: int, settings: Settings, rngs: nnx.Rngs):
        init = nnx.initializers.normal(settings.width**-0.5)
        self.token = nnx.Embed(tokens, settings.width, embedding_init=init, rngs=rngs)
        self.position = nnx.Embed(
            settings.longest + 1, settings.width, embedding_init=init, rngs=rngs
        )

    def __call__(self, tokens, positions):
        """Map tokens to features."""
        return self.token(tokens) + self.position(positions)


class Translator(nnx.Module):
    """Tokens of one language in, logits of tokens of another one out.

    Args:
      sources: how many tokens the first language has.
      targets: how many the second one has.
      settings: the sizes.
      rngs: for the first parameters, and for dropout.
    """

    def __init__(self, sources: int, targets: int, settings: Settings, *, rngs: nnx.Rngs):
        self.source = Embedding(sources, settings, rngs)
        self.target = Embedding(targets, settings, rngs)
        depth = range(settings.depth)
        self.encoder = nnx.List(EncoderLayer(settings, rngs) for _ in depth)
        self.decoder = nnx.List(DecoderLayer(settings, rngs) for _ in depth)
        self.norms = nnx.List(nnx.LayerNorm(settings.width, rngs=rngs) for _ in range(2))
        self.last = nnx.Linear(settings.width, targets, rngs=rngs)

    def encode(self, tokens, segments, positions, training=False):
        """Map tokens to what the decoder looks at."""
        x = self.source(tokens, positions)
        mask = same(segments, segments)
        for layer in self.encoder:
            x = layer(x, mask, training)
        return self.norms[0](x)

    def decode(self, memory, source_segments, tokens, segments, positions, training=False):
        """Map the tokens so far to logits of each one's next token.

        Args:
          memory: what `encode` made.
          source_segments: the phrase that each place of it belongs to.
          tokens: an edge, then the translation.
          segments: the phrase that each of them belongs to.
          positions: where in the phrase each stands.
          training: whether to hide features.
        """
        x = self.target(tokens, positions)
        mask = nnx.combine_masks(
            same(segments, segments), nnx.make_causal_mask(tokens, dtype=bool), dtype=bool
        )
        mask_across = same(segments, source_segments)
        for layer in self.decoder:
            x = layer(x, memory, mask, mask_across, training)
        return self.last(self.norms[1](x))


def same(segments, others):
    """Return who sees whom: tokens of one phrase each other, ``[batch, 1, length, others]``."""
    return nnx.make_attention_mask(segments, others, jnp.equal, dtype=bool)
