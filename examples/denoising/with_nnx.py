"""The same network in NNX, from the same files: modules have other names, so weights are moved."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from examples.denoising import weights
from examples.denoising.settings import UsageError

from ramie import checkpoint, nnx
from ramie.training.checkpoints import natural_sort

Conv = partial(nnx.Conv, kernel_size=(3, 3), padding="CIRCULAR", use_bias=False)


class Block(nnx.Module):
    """A convolution, batch norm, and what is positive of it."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.conv = Conv(width, width, rngs=rngs)
        self.norm = nnx.BatchNorm(width, use_running_average=True, rngs=rngs)

    def __call__(self, x):
        """Map features ``[batch, height, width, channels]`` to features."""
        return nnx.relu(self.norm(self.conv(x)))


class DnCNN(nnx.Module):
    """A denoiser.

    Args:
      depth: convolutions, from the first to the last.
      channels: 1, or 2 where the second one tells the deviation of the noise.
      width: channels between them.
      rngs: for the first parameters.
    """

    def __init__(self, depth: int, channels: int, width: int = 64, *, rngs: nnx.Rngs):
        self.start = Conv(channels, width, rngs=rngs)
        self.blocks = nnx.List(Block(width, rngs=rngs) for _ in range(depth - 2))
        self.end = Conv(width, channels, rngs=rngs)

    def __call__(self, x):
        """Map noisy pictures ``[batch, height, width, channels]`` to pictures with less noise."""
        y = nnx.relu(self.start(x))
        for block in self.blocks:
            y = block(y)
        return x - self.end(y)


def load(depth: int, level: str) -> Callable[[np.ndarray], jax.Array]:
    """Return a network with its weights: a function of pictures.

    Args:
      depth: 6 or 17 convolutions.
      level: of the noise that it was trained with: L, M or H, or N for a network that is told.
    """
    channels = 2 if level == "N" else 1
    model = nnx.eval_shape(lambda: DnCNN(depth, channels, rngs=nnx.Rngs(0)))
    file = weights.find(depth, level)
    found = moved(checkpoint.restore(file, target=None))
    state = nnx.state(model)
    shapes, expected = (jax.tree.map(np.shape, tree) for tree in (found, nnx.to_pure_dict(state)))
    if shapes != expected:
        raise UsageError(f"{file} holds {shapes}, and the network has {expected}.")
    nnx.replace_by_pure_dict(state, found)
    nnx.update(model, state)
    return partial(apply, model)


def moved(variables: dict[str, Any]) -> dict[str, Any]:
    """Give the variables of the Linen network the names that they have here.

    Args:
      variables: of the collections ``params`` and ``batch_stats``.
    """
    params, statistics = variables["params"], variables["batch_stats"]
    names = natural_sort(name for name in params if name.startswith("ConvBNBlock_"))
    blocks = {
        number: {
            "conv": params[name]["Conv_0"],
            "norm": params[name]["BatchNorm_0"] | statistics[name]["BatchNorm_0"],
        }
        for number, name in enumerate(names)
    }
    return {"start": params["conv_start"], "blocks": blocks, "end": params["conv_end"]}


@nnx.jit
def apply(model: DnCNN, pictures: np.ndarray) -> jax.Array:
    """Run a network; equal ones share a program, whatever their weights are."""
    return model(pictures)
