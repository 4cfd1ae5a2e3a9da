"""Loss and accuracy, added up over examples."""

import jax.numpy as jnp

from ramie.trees import struct
from ramie.typing import Array

__all__ = ["Metrics", "cross_entropy"]


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


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Return the loss of each example, `[batch]`."""
    import optax

    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
