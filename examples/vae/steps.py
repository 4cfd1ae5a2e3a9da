"""What a training consists of, one step of it, and how it is measured."""

import jax
import jax.numpy as jnp
import optax
from examples.vae.model import VAE
from examples.vae.settings import Settings

from ramie import nnx


class Training(nnx.Module):
    """The model, its optimizer, and the stream of noise; all that a checkpoint holds.

    Args:
      settings: the numbers of the run.
      steps: of the whole run.
    """

    def __init__(self, settings: Settings, steps: int):
        rngs = nnx.Rngs(settings.seed)
        self.model = VAE(settings.latent, settings.width, rngs=rngs)
        rate = optax.warmup_cosine_decay_schedule(0.0, settings.rate, steps // 20 + 1, steps + 1)
        tx = optax.adamw(rate, weight_decay=settings.decay)
        self.optimizer = nnx.Optimizer(self.model, tx, wrt=nnx.Param)
        self.noise = rngs.noise.fork()


@nnx.jit(donate="auto")
def step(training: Training, images: jax.Array) -> jax.Array:
    """Change the training by one batch, and return the bound before, in nats an image.

    Args:
      training: what is changed.
      images: whole numbers ``[batch, 8, 8, 1]``.
    """
    key = training.noise()

    def loss(model):
        told, costs = model.bound(images, key)
        return (costs - told).mean()

    value, gradients = nnx.value_and_grad(loss)(training.model)
    training.optimizer.update(training.model, gradients)
    return -value


@nnx.jit(static_argnames="draws")
def measure(model: VAE, images: jax.Array, *, draws: int = 4) -> tuple[jax.Array, jax.Array]:
    """Return the two terms of the bound, means over images and draws of the noise.

    Args:
      model: the model.
      images: whole numbers ``[n, 8, 8, 1]``.
      draws: of the noise for each image, the same at every call.
    """
    keys = jax.random.split(jax.random.key(0), draws)
    told, costs = jax.lax.map(lambda key: model.bound(images, key), keys)
    return told.mean(), costs.mean()


@nnx.jit(static_argnames=("rows", "columns"))
def samples(model: VAE, seed: int, *, rows: int, columns: int) -> jax.Array:
    """Draw images that never were, ``[rows, columns, 8, 8]``."""
    images = model.draw(jax.random.normal(jax.random.key(seed), (rows * columns, model.latent)))
    return images.reshape(rows, columns, *images.shape[1:])


@nnx.jit(static_argnames="columns")
def walk(model: VAE, start: jax.Array, end: jax.Array, *, columns: int) -> jax.Array:
    """Draw what lies between pairs of images, on straight lines between their descriptions.

    Args:
      model: the model.
      start: images ``[rows, 8, 8, 1]``.
      end: as many.
      columns: images from the first to the last.

    Returns:
      Means of pixels, ``[rows, columns, 8, 8]``.
    """
    first, last = model.encoder(start)[0], model.encoder(end)[0]
    part = jnp.linspace(0.0, 1.0, columns)[:, None]
    line = lambda a, b: model.draw((1 - part) * a + part * b)
    return jax.vmap(line)(first, last)
