"""Network, training step and evaluation in Linen: modules are descriptions, states are values."""

from typing import Any

import jax

from ramie import linen as nn
from ramie import serialization
from ramie.cli.demo.metrics import Metrics, cross_entropy
from ramie.training import train_state
from ramie.typing import Array

__all__ = [
    "CNN",
    "TrainState",
    "create",
    "evaluate",
    "from_state_dict",
    "metrics_of",
    "predict",
    "start_epoch",
    "to_state_dict",
    "train_step",
]

_MOMENTUM = 0.9


class CNN(nn.Module):
    """A convolutional classifier for small grey images: two convolutions, two dense layers.

    Args:
        classes: How many kinds of image to tell apart.
    """

    classes: int = 10

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return the logits `[batch, classes]` of images `[batch, height, width, 1]`."""
        # Smooth throughout: the last bits in which versions of XLA differ do not grow, and training
        # gives the same table on all of them. With relu they part after a few epochs.
        x = nn.Conv(features=32, kernel_size=(3, 3))(x)
        x = nn.gelu(x)
        x = nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = nn.Conv(features=64, kernel_size=(3, 3))(x)
        x = nn.gelu(x)
        x = nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = x.reshape((x.shape[0], -1))
        x = nn.Dense(features=256)(x)
        x = nn.gelu(x)
        return nn.Dense(features=self.classes)(x)


class TrainState(train_state.TrainState):
    """The usual train state, and the metrics of the current epoch."""

    metrics: Metrics


def create(seed: int, sample: Array, learning_rate: float) -> TrainState:
    """Initialise the parameters, the optimizer and the metrics.

    Args:
        seed: Decides the initial parameters.
        sample: An input of the right shape and dtype; its values do not matter.
        learning_rate: Step size of gradient descent.

    Returns:
        The state before the first step.
    """
    import optax

    model = CNN()
    return TrainState.create(
        apply_fn=model.apply,
        params=model.init(jax.random.key(seed), sample)["params"],
        tx=optax.sgd(learning_rate, _MOMENTUM, nesterov=True),
        metrics=Metrics.empty(),
    )


def start_epoch(state: TrainState) -> TrainState:
    """Begin to count anew."""
    return state.replace(metrics=Metrics.empty())


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


def metrics_of(state: TrainState) -> Metrics:
    """Return the metrics of the epoch so far."""
    return state.metrics


@jax.jit
def evaluate(state: TrainState, images: Array, labels: Array) -> Metrics:
    """Measure the parameters on examples, without changing them."""
    logits = state.apply_fn({"params": state.params}, images)
    return Metrics.empty().update(cross_entropy(logits, labels), logits, labels)


@jax.jit
def predict(state: TrainState, images: Array) -> Array:
    """Return the digit seen in each image."""
    return state.apply_fn({"params": state.params}, images).argmax(-1)


def to_state_dict(state: TrainState) -> Any:
    """Return all that a checkpoint must hold, as nested dictionaries of arrays."""
    return serialization.to_state_dict(state)


def from_state_dict(fresh: TrainState, saved: Any) -> TrainState:
    """Return the state that was saved.

    Args:
        fresh: A state before the first step, which gives the result its structure.
        saved: What `to_state_dict` returned.

    Raises:
        ValueError: The two do not fit.
    """
    restored: TrainState = serialization.from_state_dict(fresh, saved)
    return restored
