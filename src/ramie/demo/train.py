"""The train state with its metrics, one training step, one evaluation."""

import jax
import jax.numpy as jnp

from ramie import linen as nn
from ramie import struct
from ramie.training import train_state
from ramie.typing import Array

__all__ = [
    "Metrics",
    "TrainState",
    "create_train_state",
    "cross_entropy",
    "evaluate",
    "predict",
    "train_step",
]

_MOMENTUM = 0.9


@struct.dataclass
class Metrics:
    """Sums over examples, from which loss and accuracy follow.

    Args:
        loss_sum: The losses of all examples, added up.
        correct: How many were classified rightly.
        count: How many there were.
    """

    loss_sum: Array
    correct: Array
    count: Array

    @classmethod
    def empty(cls) -> "Metrics":
        """Return the metrics of no examples."""
        return cls(loss_sum=jnp.float32(0), correct=jnp.int32(0), count=jnp.int32(0))

    def update(self, losses: Array, logits: Array, labels: Array) -> "Metrics":
        """Return the metrics with a batch of examples added."""
        return Metrics(
            loss_sum=self.loss_sum + losses.sum(),
            correct=self.correct + (logits.argmax(-1) == labels).sum(dtype=jnp.int32),
            count=self.count + labels.size,
        )

    @property
    def loss(self) -> float:
        """The mean loss."""
        return float(self.loss_sum) / int(self.count)

    @property
    def accuracy(self) -> float:
        """The fraction classified rightly."""
        return int(self.correct) / int(self.count)


class TrainState(train_state.TrainState):
    """The usual train state, and the metrics of the current epoch."""

    metrics: Metrics


def create_train_state(
    model: nn.Module, rng: Array, sample: Array, learning_rate: float
) -> TrainState:
    """Initialise the parameters, the optimizer and the metrics.

    Args:
        model: The network.
        rng: The key that decides the initial parameters.
        sample: An input of the right shape and dtype; its values do not matter.
        learning_rate: Step size of gradient descent.

    Returns:
        The state before the first step.
    """
    import optax

    return TrainState.create(
        apply_fn=model.apply,
        params=model.init(rng, sample)["params"],
        tx=optax.sgd(learning_rate, _MOMENTUM, nesterov=True),
        metrics=Metrics.empty(),
    )


@jax.jit
def train_step(state: TrainState, images: Array, labels: Array) -> TrainState:
    """Make one optimizer step on one batch, and add the batch to the metrics."""

    def loss_fn(params: Array) -> tuple[Array, tuple[Array, Array]]:
        logits = state.apply_fn({"params": params}, images)
        losses = cross_entropy(logits, labels)
        return losses.mean(), (losses, logits)

    grads, (losses, logits) = jax.grad(loss_fn, has_aux=True)(state.params)
    metrics = state.metrics.update(losses, logits, labels)
    return state.apply_gradients(grads=grads, metrics=metrics)


@jax.jit
def evaluate(state: TrainState, images: Array, labels: Array) -> Metrics:
    """Measure the parameters on examples, without changing them."""
    logits = state.apply_fn({"params": state.params}, images)
    return Metrics.empty().update(cross_entropy(logits, labels), logits, labels)


@jax.jit
def predict(state: TrainState, images: Array) -> Array:
    """Return the digit seen in each image."""
    return state.apply_fn({"params": state.params}, images).argmax(-1)


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Return the loss of each example, `[batch]`."""
    import optax

    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
