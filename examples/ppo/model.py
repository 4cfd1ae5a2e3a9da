"""The model: which action is how likely, and how much reward is to come.

Shapes: ``observations: [batch, numbers]``, or frames ``[batch, stack, rows, columns]``.
"""

import jax.numpy as jnp
from examples.ppo.environments import Spaces
from examples.ppo.settings import Settings

import ramie.linen as nn

CONVOLUTIONS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))  # features, window, stride


class Policy(nn.Module):
    """Observations in, logits of actions and a value out.

    Args:
      actions: how many there are.
      width: features of the hidden layers.
      images: whether observations are frames.
    """

    actions: int
    width: int
    images: bool

    @nn.compact
    def __call__(self, observations):
        """Return logits ``[batch, actions]`` and values ``[batch]``."""
        if self.images:
            seen = valued = self._seen(observations)
        else:
            seen, valued = self._tower(observations), self._tower(observations)
        # With small weights all actions are about as likely at first.
        logits = nn.Dense(self.actions, kernel_init=nn.initializers.orthogonal(0.01))(seen)
        value = nn.Dense(1, kernel_init=nn.initializers.orthogonal(1.0))(valued)
        return logits, value[:, 0]

    def _tower(self, x):
        for _ in range(2):
            x = nn.tanh(nn.Dense(self.width, kernel_init=nn.initializers.orthogonal(2**0.5))(x))
        return x

    def _seen(self, frames):
        """Three convolutions (Mnih and others, 2015); frames become channels, the last axis."""
        init = nn.initializers.orthogonal(2**0.5)
        x = jnp.moveaxis(frames, 1, -1).astype(jnp.float32) / 255
        for features, window, stride in CONVOLUTIONS:
            conv = nn.Conv(features, (window, window), stride, padding="VALID", kernel_init=init)
            x = nn.relu(conv(x))
        return nn.relu(nn.Dense(self.width, kernel_init=init)(x.reshape(x.shape[0], -1)))


def create(settings: Settings, spaces: Spaces) -> Policy:
    """Make the model of a run."""
    return Policy(spaces.actions, settings.width, spaces.images)
