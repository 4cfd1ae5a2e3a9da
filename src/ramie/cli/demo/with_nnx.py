"""Network, training step and evaluation in NNX: modules hold their variables and change them."""

from typing import Any

from ramie import nnx, serialization
from ramie.cli.demo.metrics import Metrics, cross_entropy
from ramie.typing import Array

__all__ = [
    "CNN",
    "Training",
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


class CNN(nnx.Module):
    """A convolutional classifier for small grey images: two convolutions, two dense layers.

    Args:
        size: Height and width of the images; multiples of four.
        classes: How many kinds of image to tell apart.
        rngs: Where the initial parameters come from.
    """

    def __init__(self, size: tuple[int, int], classes: int = 10, *, rngs: nnx.Rngs) -> None:
        height, width = size
        self.conv1 = nnx.Conv(1, 32, kernel_size=(3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(32, 64, kernel_size=(3, 3), rngs=rngs)
        self.linear1 = nnx.Linear(height // 4 * (width // 4) * 64, 256, rngs=rngs)
        self.linear2 = nnx.Linear(256, classes, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Return the logits `[batch, classes]` of images `[batch, height, width, 1]`."""
        # Smooth throughout: the last bits in which versions of XLA differ do not grow, and training
        # gives the same table on all of them. With relu they part after a few epochs.
        x = nnx.gelu(self.conv1(x))
        x = nnx.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = nnx.gelu(self.conv2(x))
        x = nnx.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = x.reshape((x.shape[0], -1))
        return self.linear2(nnx.gelu(self.linear1(x)))


class Training(nnx.Module):
    """All that changes during a training.

    Args:
        model: The network.
        learning_rate: Step size of gradient descent.
    """

    def __init__(self, model: CNN, learning_rate: float) -> None:
        import optax

        self.model = model
        tx = optax.sgd(learning_rate, _MOMENTUM, nesterov=True)
        self.optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        self.metrics = nnx.Variable(Metrics.empty())


def create(seed: int, sample: Array, learning_rate: float) -> Training:
    """Initialise the parameters, the optimizer and the metrics.

    Args:
        seed: Decides the initial parameters.
        sample: An input of the right shape; its values do not matter.
        learning_rate: Step size of gradient descent.

    Returns:
        The training before the first step.
    """
    _, height, width, _ = sample.shape
    return Training(CNN((height, width), rngs=nnx.Rngs(seed)), learning_rate)


def start_epoch(training: Training) -> Training:
    """Begin to count anew."""
    training.metrics.set_value(Metrics.empty())
    return training


def train_step(training: Training, images: Array, labels: Array) -> Training:
    """Make one optimizer step on one batch, and add the batch to the metrics."""
    _train_step(training, images, labels)
    return training


@nnx.jit
def _train_step(training: Training, images: Array, labels: Array) -> None:
    def loss_fn(model: CNN) -> tuple[Array, tuple[Array, Array]]:
        logits = model(images)
        losses = cross_entropy(logits, labels)
        return losses.mean(), (losses, logits)

    grads, (losses, logits) = nnx.grad(loss_fn, has_aux=True)(training.model)
    training.optimizer.update(training.model, grads)
    training.metrics.set_value(training.metrics.get_value().update(losses, logits, labels))


def metrics_of(training: Training) -> Metrics:
    """Return the metrics of the epoch so far."""
    metrics: Metrics = training.metrics.get_value()
    return metrics


@nnx.jit
def evaluate(training: Training, images: Array, labels: Array) -> Metrics:
    """Measure the parameters on examples, without changing them."""
    logits = training.model(images)
    return Metrics.empty().update(cross_entropy(logits, labels), logits, labels)


@nnx.jit
def predict(training: Training, images: Array) -> Array:
    """Return the digit seen in each image."""
    return training.model(images).argmax(-1)


def to_state_dict(training: Training) -> Any:
    """Return all that a checkpoint must hold, as nested dictionaries of arrays."""
    return serialization.to_state_dict(nnx.state(training))


def from_state_dict(fresh: Training, saved: Any) -> Training:
    """Return the training that was saved.

    Args:
        fresh: A training before the first step. It becomes the one that was saved.
        saved: What `to_state_dict` returned.

    Raises:
        ValueError: The two do not fit.
    """
    nnx.update(fresh, serialization.from_state_dict(nnx.state(fresh), saved))
    return fresh
