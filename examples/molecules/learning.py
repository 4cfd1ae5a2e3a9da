"""What both styles share: the error that is made small, and how."""

import functools

import jax
import jax.numpy as jnp
import optax
from examples.molecules.batching import Graphs
from examples.molecules.settings import Settings


def error(found: jax.Array, graphs: Graphs) -> jax.Array:
    """Return the mean absolute error of a batch in kelvin, padding left out.

    Args:
      found: boiling points ``[molecules]``.
      graphs: the molecules.
    """
    return jnp.mean(jnp.abs(found - graphs.boils), where=graphs.there)


@functools.cache  # with one optimizer for the same settings, a step compiles once
def optimizer(settings: Settings) -> optax.GradientTransformation:
    """Return Adam with decay of the weights; its rate rises at first, then falls to zero."""
    rate = optax.warmup_cosine_decay_schedule(0.0, settings.rate, settings.warmup, settings.steps)
    return optax.adamw(rate, weight_decay=settings.decay)
