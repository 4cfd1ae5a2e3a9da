"""The network: convolutions that find the noise in a picture, which is then taken away from it.

Zhang et al., *Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising*, 2017.
"""

from functools import partial

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
