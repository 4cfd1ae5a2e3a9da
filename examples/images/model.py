"""Residual networks: He et al., *Deep Residual Learning for Image Recognition*, 2015.

Layers compute in `dtype`; parameters, batch statistics and logits are in float32. The statistics
are those of the whole batch: on a mesh that divides the batch, XLA adds the sums of all devices.
"""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp

from ramie import linen as nn


class Block(nn.Module):
    """Two or three convolutions, whose result is added to what came in.

    Args:
      width: channels inside.
      strides: of the step down in size.
      bottleneck: three convolutions, of which the middle one alone looks at neighbours, with four
        times as many channels at the end.
      conv: makes a convolution.
      norm: makes a batch norm.
    """

    width: int
    strides: int
    bottleneck: bool
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x):
        """Map features ``[batch, height, width, channels]`` to features."""
        strides = (self.strides, self.strides)
        if self.bottleneck:
            y = nn.relu(self.norm()(self.conv(self.width, (1, 1))(x)))
            y = nn.relu(self.norm()(self.conv(self.width, (3, 3), strides)(y)))
            y = self.conv(4 * self.width, (1, 1))(y)
        else:
            y = nn.relu(self.norm()(self.conv(self.width, (3, 3), strides)(x)))
            y = self.conv(self.width, (3, 3))(y)
        y = self.norm(scale_init=nn.initializers.zeros)(y)  # a block begins as doing nothing
        if x.shape != y.shape:
            x = self.conv(y.shape[-1], (1, 1), strides, name="shortcut")(x)
            x = self.norm(name="shortcut_norm")(x)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """A residual network.

    Args:
      classes: how many kinds of image to tell apart.
      depths: blocks before each step down in size.
      width: channels of the first blocks; each step down doubles it.
      bottleneck: which kind of block.
      large: whether images are large, so that two steps down come before the first block.
      dtype: what layers compute in.
    """

    classes: int
    depths: tuple[int, ...]
    width: int
    bottleneck: bool = False
    large: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """Map images ``[batch, height, width, channels]`` to logits ``[batch, classes]``.

        Args:
          x: images, of about mean 0 and deviation 1.
          train: whether to norm by the statistics of this batch, and to remember them.
        """
        conv = partial(
            nn.Conv, use_bias=False, dtype=self.dtype, kernel_init=nn.initializers.he_normal()
        )
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, dtype=self.dtype)
        if self.large:
            x = nn.relu(norm(name="first_norm")(conv(self.width, (7, 7), (2, 2), name="first")(x)))
            x = nn.max_pool(x, (3, 3), (2, 2), padding="SAME")
        else:
            x = nn.relu(norm(name="first_norm")(conv(self.width, (3, 3), name="first")(x)))
        for stage, depth in enumerate(self.depths):
            for number in range(depth):
                strides = 2 if stage and not number else 1
                x = Block(self.width * 2**stage, strides, self.bottleneck, conv, norm)(x)
        return nn.Dense(self.classes, name="last")(x.mean((1, 2)).astype(jnp.float32))


def make(name: str, classes: int, size: int, dtype: str) -> ResNet:
    """Make a model by its name.

    Args:
      name: tiny, small, resnet18 or resnet50.
      classes: how many.
      size: rows and columns of an image.
      dtype: what layers compute in.
    """
    depths, width, bottleneck = {
        "tiny": ((1, 1), 8, False),
        "small": ((1, 1, 1), 32, False),
        "resnet18": ((2, 2, 2, 2), 64, False),
        "resnet50": ((3, 4, 6, 3), 64, True),
    }[name]
    return ResNet(classes, depths, width, bottleneck, large=size >= 64, dtype=jnp.dtype(dtype))
