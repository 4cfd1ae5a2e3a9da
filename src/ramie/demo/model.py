"""The network: two convolutions, two dense layers."""

from ramie import linen as nn
from ramie.typing import Array

__all__ = ["CNN"]


class CNN(nn.Module):
    """A convolutional classifier for small grey images.

    Args:
        classes: How many kinds of image to tell apart.
    """

    classes: int = 10

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return the logits `[batch, classes]` of images `[batch, height, width, 1]`."""
        x = nn.Conv(features=32, kernel_size=(3, 3))(x)
        x = nn.relu(x)
        x = nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = nn.Conv(features=64, kernel_size=(3, 3))(x)
        x = nn.relu(x)
        x = nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = x.reshape((x.shape[0], -1))
        x = nn.Dense(features=256)(x)
        x = nn.relu(x)
        return nn.Dense(features=self.classes)(x)
