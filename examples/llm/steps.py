"""What a training consists of, and one step of it."""

import jax
import jax.numpy as jnp
import optax
from examples.llm import meshes
from examples.llm.model import Transformer
from examples.llm.settings import Settings

from ramie import nnx


class Training(nnx.Module):
    """The model, and the optimizer that knows its parameters; all that a checkpoint holds."""

    def __init__(self, settings: Settings):
        self.model = Transformer(settings, rngs=nnx.Rngs(settings.seed))
        self.optimizer = nnx.Optimizer(self.model, optimizer(settings), wrt=nnx.Param)


def optimizer(settings: Settings) -> optax.GradientTransformation:
    """Return AdamW with a warm-up, a decay to a tenth, and clipped gradients."""
    rate = optax.warmup_cosine_decay_schedule(
        0.0, settings.rate, settings.warmup, settings.steps, settings.rate / 10
    )
    return optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(rate, b2=0.98, weight_decay=0.05)
    )


def create(settings: Settings) -> Training:
    """Make a training whose arrays are drawn into their places on the mesh in force."""
    with nnx.logical_axis_rules(meshes.RULES):
        return Training(settings)


def abstract(settings: Settings) -> Training:
    """Return shapes, dtypes and places of `create`, without any memory."""
    with nnx.logical_axis_rules(meshes.RULES):
        return nnx.as_abstract(nnx.eval_shape(lambda: Training(settings)))


def loss_of(model: Transformer, batch: jax.Array) -> jax.Array:
    """Return the mean over all bytes of a batch ``[batch, length + 1]``, in nats."""
    logits = model(batch[:, :-1]).astype(jnp.float32)
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch[:, 1:]).mean()


def step(training: Training, batch: jax.Array) -> jax.Array:
    """Change the training by one batch, and return the loss before.

    Args:
      training: what is changed.
      batch: bytes ``[batch, length + 1]``.
    """
    loss, gradients = nnx.value_and_grad(loss_of)(training.model, batch)
    training.optimizer.update(training.model, gradients)
    return loss


compiled_step = nnx.jit(step, donate="auto")
compiled_loss = nnx.jit(loss_of)
