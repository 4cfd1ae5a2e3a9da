"""What a training consists of, one step of it, and how a trained model breaks words."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from examples.hyphenation import words
from examples.hyphenation.model import Tagger
from examples.hyphenation.settings import Settings

from ramie import nnx


class Training(nnx.Module):
    """The model, and the optimizer that knows its parameters; all that a checkpoint holds."""

    def __init__(self, settings: Settings):
        self.model = Tagger(settings, rngs=nnx.Rngs(settings.seed))
        self.optimizer = nnx.Optimizer(self.model, optimizer(settings), wrt=nnx.Param)


@functools.cache  # with one optimizer for the same settings, a step compiles once
def optimizer(settings: Settings) -> optax.GradientTransformation:
    """Return Adam with a warm-up, a decay to zero, and clipped gradients."""
    rate = optax.warmup_cosine_decay_schedule(0.0, settings.rate, settings.warmup, settings.steps)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))


def loss_of(model: Tagger, letters: jax.Array, breaks: jax.Array) -> jax.Array:
    """Return the mean cross entropy over all letters of a batch, padding left out."""
    losses = optax.sigmoid_binary_cross_entropy(model(letters), breaks)
    return jnp.mean(losses, where=letters != words.PADDING)


def step(training: Training, letters: jax.Array, breaks: jax.Array) -> jax.Array:
    """Change the training by one batch, and return the loss before.

    Args:
      training: what is changed.
      letters: ``[batch, length]``.
      breaks: tags of the same shape.
    """
    loss, gradients = nnx.value_and_grad(loss_of)(training.model, letters, breaks)
    training.optimizer.update(training.model, gradients)
    return loss


compiled_step = nnx.jit(step, donate="auto")


@nnx.jit
def probabilities(model: Tagger, letters: jax.Array) -> jax.Array:
    """Return how likely a break is behind each letter; 0 behind the last one and in padding."""
    inside = jnp.pad(letters[:, 1:], [(0, 0), (0, 1)]) != words.PADDING
    return jnp.where(inside, nnx.sigmoid(model(letters)), 0.0)


def likely(model: Tagger, letters: np.ndarray, size: int = 500) -> np.ndarray:
    """Return `probabilities`, a batch of one size at a time, so that it compiles once."""
    size = min(size, len(letters))
    filled = np.pad(letters, [(0, -len(letters) % size), (0, 0)], mode="edge")
    found = [
        np.asarray(probabilities(model, filled[i : i + size])) for i in range(0, len(filled), size)
    ]
    return np.concatenate(found)[: len(letters)]
