"""Layers that draw random numbers."""

from collections.abc import Sequence

from ramie.linen.module import Module, compact, merge_param
from ramie.ops import stochastic
from ramie.typing import Array, PRNGKey

__all__ = ["Dropout"]


class Dropout(Module):
    """Set entries to zero at random while training.

    Attributes:
      rate: probability of an entry to become zero; the others are divided by ``1 - rate``.
      broadcast_dims: axes along which entries share their fate.
      deterministic: pass the input through. It can be given to the call instead.
      rng_collection: the random stream to draw from.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.Dropout(rate=0.5, deterministic=False)
      >>> y = layer.apply({}, jax.numpy.ones(8), rngs={"dropout": jax.random.key(0)})
      >>> sorted(set(y.tolist()))
      [0.0, 2.0]
    """

    rate: float | Array
    broadcast_dims: Sequence[int] = ()
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    @compact
    def __call__(
        self, inputs: Array, deterministic: bool | None = None, rng: PRNGKey | None = None
    ) -> Array:
        """Drop entries.

        Args:
          inputs: the input, of any shape.
          deterministic: as the attribute; give one of the two.
          rng: a key to use in place of one from the random stream.

        Returns:
          An array of the same shape.

        Raises:
          InvalidRngError: if there is neither a random stream nor `rng`.
          ValueError: if `deterministic` is given twice or never, or the rate is no probability.
        """
        deterministic = merge_param("deterministic", self.deterministic, deterministic)
        rate = stochastic.check_rate(self.rate)
        if deterministic or stochastic.known(rate, 0.0):
            return inputs
        if rng is None and not stochastic.known(rate, 1.0):
            rng = self.make_rng(self.rng_collection)
        return stochastic.dropout(inputs, rng, rate, self.broadcast_dims)
