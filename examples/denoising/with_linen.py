"""The network in Linen: convolutions that find the noise in a picture, which is then taken away.

Zhang et al., *Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising*, 2017.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from examples.denoising import weights

from ramie import checkpoint
from ramie import linen as nn

# What lies beyond an edge is what lies at the other one: so the networks were trained.
Conv = partial(nn.Conv, kernel_size=(3, 3), padding="CIRCULAR", use_bias=False)


class ConvBNBlock(nn.Module):
    """A convolution, batch norm, and what is positive of it.

    The names of this class and of its layers are those in the files of scico.
    """

    width: int

    @nn.compact
    def __call__(self, x):
        """Map features ``[batch, height, width, channels]`` to features."""
        x = Conv(self.width)(x)
        return nn.relu(nn.BatchNorm(use_running_average=True)(x))


class DnCNN(nn.Module):
    """A denoiser.

    Args:
      depth: convolutions, from the first to the last.
      width: channels between them.
    """

    depth: int
    width: int = 64

    @nn.compact
    def __call__(self, x):
        """Map noisy pictures ``[batch, height, width, 1]`` to pictures with less noise.

        A second channel may tell the deviation of the noise; only the first one of the result is
        a picture then.
        """
        y = nn.relu(Conv(self.width, name="conv_start")(x))
        for _ in range(self.depth - 2):
            y = ConvBNBlock(self.width)(y)
        return x - Conv(x.shape[-1], name="conv_end")(y)


def load(depth: int, level: str) -> Callable[[np.ndarray], jax.Array]:
    """Return a network with its weights: a function of pictures.

    Args:
      depth: 6 or 17 convolutions.
      level: of the noise that it was trained with: L, M or H, or N for a network that is told.
    """
    model = DnCNN(depth)
    picture = jax.ShapeDtypeStruct((1, 32, 32, 2 if level == "N" else 1), "float32")
    expected = jax.eval_shape(model.init, jax.random.key(0), picture)
    variables = checkpoint.restore(weights.find(depth, level), target=expected)
    return partial(apply, model, variables)


@partial(jax.jit, static_argnames="model")
def apply(model: DnCNN, variables: Any, pictures: np.ndarray) -> jax.Array:
    """Run a network; equal ones share a program, whatever their weights are."""
    return model.apply(variables, pictures)
