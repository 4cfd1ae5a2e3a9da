"""The model: an encoder to a few numbers with their uncertainty, and a decoder from them.

Kingma and Welling, *Auto-Encoding Variational Bayes*, 2013.
"""

import jax
import jax.numpy as jnp
from examples.vae.data import LEVELS, SIZE

from ramie import nnx


class Encoder(nnx.Module):
    """Images to a Gaussian over the latent numbers."""

    def __init__(self, latent: int, width: int, *, rngs: nnx.Rngs):
        self.first = nnx.Conv(1, width, (3, 3), rngs=rngs)
        self.half = nnx.Conv(width, 2 * width, (3, 3), strides=2, rngs=rngs)
        self.quarter = nnx.Conv(2 * width, 2 * width, (3, 3), strides=2, rngs=rngs)
        self.last = nnx.Linear((SIZE // 4) ** 2 * 2 * width, 2 * latent, rngs=rngs)

    def __call__(self, images):
        """Map images ``[batch, 8, 8, 1]`` to a mean and a log deviation ``[batch, latent]``."""
        x = images / (LEVELS - 1) - 0.5
        for layer in (self.first, self.half, self.quarter):
            x = nnx.gelu(layer(x))
        return jnp.split(self.last(x.reshape(x.shape[0], -1)), 2, axis=-1)


class Decoder(nnx.Module):
    """Latent numbers to the probability of every value of every pixel."""

    def __init__(self, latent: int, width: int, *, rngs: nnx.Rngs):
        self.first = nnx.Linear(latent, (SIZE // 4) ** 2 * 2 * width, rngs=rngs)
        self.half = nnx.ConvTranspose(2 * width, 2 * width, (3, 3), strides=2, rngs=rngs)
        self.whole = nnx.ConvTranspose(2 * width, width, (3, 3), strides=2, rngs=rngs)
        self.last = nnx.Conv(width, 2, (3, 3), rngs=rngs)

    def __call__(self, z):
        """Map ``[batch, latent]`` to log probabilities ``[batch, 8, 8, 17]``.

        A pixel is a logistic variable, cut into the 17 values that it can have: all below the
        first belong to the first, all above the last to the last.
        """
        x = nnx.gelu(self.first(z)).reshape(z.shape[0], SIZE // 4, SIZE // 4, -1)
        x = self.last(nnx.gelu(self.whole(nnx.gelu(self.half(x)))))
        centre, scale = x[..., :1] * LEVELS + LEVELS / 2, jnp.exp(x[..., 1:])
        edges = (jnp.arange(1, LEVELS) - 0.5 - centre) / scale
        below = jnp.pad(nnx.sigmoid(edges), [(0, 0)] * 3 + [(1, 0)])
        above = jnp.pad(nnx.sigmoid(-edges), [(0, 0)] * 3 + [(0, 1)])
        return jnp.log(jnp.maximum(1 - below - above, 1e-6))


class VAE(nnx.Module):
    """An encoder and a decoder.

    Args:
      latent: numbers that describe an image.
      width: channels of the first convolution.
      rngs: for the first parameters.
    """

    def __init__(self, latent: int, width: int, *, rngs: nnx.Rngs):
        self.latent = latent
        self.encoder = Encoder(latent, width, rngs=rngs)
        self.decoder = Decoder(latent, width, rngs=rngs)

    def bound(self, images, key):
        """Return two terms of the bound for each image ``[batch, 8, 8, 1]``, in nats.

        Returns:
          How well the image is told from its description, ``[batch]``, and what the description
          costs, ``[batch]``. The first less the second is a lower bound of the log probability.
        """
        mean, log_deviation = self.encoder(images)
        z = mean + jnp.exp(log_deviation) * jax.random.normal(key, mean.shape)
        told = jnp.take_along_axis(self.decoder(z), images, axis=-1).sum((1, 2, 3))
        costs = (jnp.exp(2 * log_deviation) + mean**2 - 1) / 2 - log_deviation
        return told, costs.sum(-1)

    def draw(self, z):
        """Return the mean of every pixel, ``[batch, 8, 8]``, for latent numbers."""
        return jnp.exp(self.decoder(z)) @ jnp.arange(LEVELS, dtype=z.dtype)
