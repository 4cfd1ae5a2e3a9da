"""The model: characters, an LSTM from each end, and what is left of a review in two numbers each.

Shapes: ``characters: [batch, length]``, integers with 0 behind the end.
"""

import jax
import jax.numpy as jnp
from examples.sentiment.reviews import PADDING, UNKNOWN
from examples.sentiment.settings import Settings

import ramie.linen as nn


class WordDropout(nn.Module):
    """Hides some of the characters while training, so that no single one is relied on.

    Args:
      rate: how many.
    """

    rate: float

    @nn.compact
    def __call__(self, characters, training):
        """Return the characters, some of them unknown; padding stays padding."""
        if not training or self.rate == 0:
            return characters
        hidden = jax.random.bernoulli(self.make_rng("dropout"), self.rate, characters.shape)
        return jnp.where(hidden & (characters != PADDING), UNKNOWN, characters)


class Judge(nn.Module):
    """Characters in, one number for each review out: above 0 where its writer was content.

    Args:
      characters: how many numbers of characters there are.
      embed: features of a character.
      width: features of each LSTM.
      forget: how many characters are hidden while training.
      dropout: how many features of a review are hidden while training.
    """

    characters: int
    embed: int
    width: int
    forget: float
    dropout: float

    @nn.compact
    def __call__(self, characters, training=False):
        """Map characters to logits ``[batch]``."""
        there = characters != PADDING
        x = WordDropout(self.forget)(characters, training)
        x = nn.Embed(self.characters, self.embed)(x)
        forward = nn.RNN(nn.OptimizedLSTMCell(self.width))
        backward = nn.RNN(nn.OptimizedLSTMCell(self.width))
        x = nn.Bidirectional(forward, backward)(x, seq_lengths=there.sum(axis=1))
        x = jnp.concatenate([mean_of(x, there), highest_of(x, there)], axis=-1)
        x = nn.Dropout(self.dropout, deterministic=not training)(x)
        return nn.Dense(1)(x)[:, 0]


def mean_of(x, there):
    """Return the mean over the places that are there: of ``[batch, length, width]`` the middle."""
    return jnp.mean(x, axis=1, where=there[..., None])


def highest_of(x, there):
    """Return the highest value of each feature over the places that are there."""
    return jnp.max(x, axis=1, where=there[..., None], initial=-1.0)  # an LSTM gives -1 to 1


def create(settings: Settings, characters: int) -> Judge:
    """Make the model of a run, for so many characters."""
    return Judge(characters, settings.embed, settings.width, settings.forget, settings.dropout)
