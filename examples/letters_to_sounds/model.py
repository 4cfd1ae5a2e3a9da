"""The model: an encoder that reads a word both ways, and a decoder that looks back at it.

Shapes: ``letters: [batch, length]``, ``sounds: [batch, steps]``, integers with 0 behind the end.
"""

import jax
import jax.numpy as jnp
from examples.letters_to_sounds.settings import Settings
from examples.letters_to_sounds.words import LETTER_COUNT, PADDING, SOUND_COUNT

import ramie.linen as nn


class Encoder(nn.Module):
    """Two LSTMs, one from each end of the word; their outputs stand side by side."""

    embed: int
    width: int

    @nn.compact
    def __call__(self, letters):
        """Map letters to what the decoder looks at, ``[batch, length, 2 * width]``."""
        lengths = jnp.sum(letters != PADDING, axis=1)
        x = nn.Embed(LETTER_COUNT, self.embed)(letters)
        forward = nn.RNN(nn.OptimizedLSTMCell(self.width))
        backward = nn.RNN(nn.OptimizedLSTMCell(self.width))
        return nn.Bidirectional(forward, backward)(x, seq_lengths=lengths)


class Decoder(nn.Module):
    """One step of the decoder: an LSTM, then a look at all letters."""

    width: int

    @nn.compact
    def __call__(self, carry, sound, memory, there):
        """Take the sound before; give features for the next one.

        Args:
          carry: the memory of the LSTM, and what was looked at last, ``[batch, width]``.
          sound: features of the sound before, ``[batch, embed]``.
          memory: what the encoder made of the letters, ``[batch, length, width]``.
          there: which letters are no padding, ``[batch, length]``.

        Returns:
          The new carry, and the pair of features ``[batch, 2 * width]`` and of how much each letter
          was looked at, ``[batch, length]``.
        """
        lstm, seen = carry
        lstm, out = nn.OptimizedLSTMCell(self.width)(lstm, jnp.concatenate([sound, seen], -1))
        query = nn.Dense(self.width, use_bias=False)(out)
        scores = jnp.einsum("bd,bld->bl", query, memory) * self.width**-0.5
        weights = nn.softmax(jnp.where(there, scores, -1e9))
        seen = jnp.einsum("bl,bld->bd", weights, memory)
        return (lstm, seen), (jnp.concatenate([out, seen], -1), weights)


class Pronouncer(nn.Module):
    """Letters in, sounds out.

    Args:
      embed: features of a letter and of a sound.
      width: features of each direction of the encoder.
    """

    embed: int
    width: int

    def setup(self):
        """Make the parts; all methods share them."""
        self.encoder = Encoder(self.embed, self.width)
        self.embedding = nn.Embed(SOUND_COUNT, self.embed)
        self.hidden = nn.Dense(2 * self.width)
        self.last = nn.Dense(SOUND_COUNT)
        # The scan runs one set of parameters over the second axis of the sounds.
        self.decoder = nn.scan(
            Decoder,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=(1, nn.broadcast, nn.broadcast),
            out_axes=1,
        )(2 * self.width)

    def __call__(self, letters, sounds):
        """Teacher forcing: predict each sound from the true ones before it.

        Args:
          letters: the word.
          sounds: its pronunciation, the edge in front; the last one is only predicted.

        Returns:
          Logits ``[batch, steps, sounds]``, and how much each letter was looked at at each step,
          ``[batch, steps, length]``.
        """
        memory = self.encoder(letters)
        return self._decode(self.start(memory), memory, letters, sounds)[1]

    def encode(self, letters):
        """Return what `step` needs of a word: the memory, and the first carry."""
        memory = self.encoder(letters)
        return memory, self.start(memory)

    def step(self, carry, memory, letters, sound):
        """Take the sound before, ``[batch]``; return the carry and log probabilities."""
        carry, (logits, _) = self._decode(carry, memory, letters, sound[:, None])
        return carry, jax.nn.log_softmax(logits[:, 0])

    def start(self, memory):
        """Return the first carry: nothing is remembered, and nothing was looked at."""
        zeros = jnp.zeros((memory.shape[0], 2 * self.width))
        return (zeros, zeros), zeros

    def _decode(self, carry, memory, letters, sounds):
        there = letters != PADDING
        carry, (out, weights) = self.decoder(carry, self.embedding(sounds), memory, there)
        return carry, (self.last(nn.tanh(self.hidden(out))), weights)


def create(settings: Settings) -> Pronouncer:
    """Make the model of a run."""
    return Pronouncer(settings.embed, settings.width)
