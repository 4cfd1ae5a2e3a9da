"""What a training consists of: a model, what of it is trained, and one step."""

import functools
import math
from typing import Any

import jax
import numpy as np
import optax
from examples.llm import steps as llm

from ramie import nnx

FROZEN = nnx.All(nnx.Param, nnx.Not(nnx.LoRAParam))


class Training(nnx.Module):
    """A model, and an optimizer that knows only those of its parameters that are trained.

    Args:
      model: the model.
      tx: how to change them.
      wrt: which.
    """

    def __init__(self, model: nnx.Module, tx: optax.GradientTransformation, wrt: Any):
        self.model = model
        self.optimizer = nnx.Optimizer(model, tx, wrt=wrt)


@functools.cache  # with one optimizer for the same numbers, a step compiles once
def optimizer(rate: float, warmup: int, steps: int) -> optax.GradientTransformation:
    """Return Adam with a warm-up, a decay to a tenth, and clipped gradients."""
    rates = optax.warmup_cosine_decay_schedule(0.0, rate, warmup, steps, rate / 10)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rates))


for_base = functools.cache(llm.optimizer)


@functools.cache
def for_adapters(
    rate: float, warmup: int, steps: int, factor: float
) -> optax.GradientTransformation:
    """Return the same with a second matrix that learns `factor` times as fast.

    In the paper `alpha / rank` stands in front of the product of the two matrices. For Adam, which
    does not look at the size of gradients, this is the same, and nothing is left to be multiplied.
    """
    second = functools.partial(nnx.map_state, lambda path, x: path[-1] == "lora_b")
    faster = optax.masked(optax.scale(factor), second)
    return optax.chain(optimizer(rate, warmup, steps), faster)


@nnx.jit
def step(training: Training, batch: jax.Array) -> jax.Array:
    """Change what is trained by one batch, and return the loss before.

    Args:
      training: is changed.
      batch: bytes ``[batch, length + 1]``.
    """
    wrt = nnx.DiffState(0, training.optimizer.wrt)
    loss, gradients = nnx.value_and_grad(llm.loss_of, argnums=wrt)(training.model, batch)
    training.optimizer.update(training.model, gradients)
    return loss


compiled_loss = nnx.jit(llm.loss_of)


@nnx.jit
def logits(model: nnx.Module, batch: jax.Array) -> jax.Array:
    """Return what the model says of the bytes after each byte, ``[batch, length, 256]``."""
    return model(batch[:, :-1])


def bits(model: nnx.Module, batches: list[np.ndarray]) -> float:
    """Return the mean loss over batches in bits a byte."""
    return float(np.mean([compiled_loss(model, batch) for batch in batches])) / math.log(2)
