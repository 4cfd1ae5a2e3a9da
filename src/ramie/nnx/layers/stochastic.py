"""Layers that draw random numbers."""

from collections.abc import Sequence
from typing import Any

import jax

from ramie.nnx.layers.parameters import of_stream
from ramie.nnx.modules.module import Module
from ramie.nnx.objects.marks import data
from ramie.nnx.randomness.rng import Rngs, RngStream
from ramie.ops import stochastic
from ramie.typing import Array, PRNGKey

__all__ = ["Dropout"]


class Dropout(Module):
    """Set entries to zero at random while training.

    The layer has a stream of random keys of its own, forked from the one it is given, in the
    attribute `rngs`.

    Args:
      rate: probability of an entry to become zero; the others are divided by ``1 - rate``.
      broadcast_dims: axes along which entries share their fate.
      deterministic: pass the input through; the call can override it, and `Module.train` and
        `Module.eval` set it.
      rng_collection: which stream of an `Rngs` to use.
      rngs: the stream, or an `Rngs` that has it; None if each call brings one.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> layer = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
        >>> sorted(set(layer(jnp.ones(8)).tolist()))
        [0.0, 2.0]
        >>> layer.eval()
        >>> layer(jnp.ones(2)).tolist()
        [1.0, 1.0]

    Reference:
      Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting".
    """

    def __init__(
        self,
        rate: float | Array,
        *,
        broadcast_dims: Sequence[int] = (),
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        rngs: Rngs | RngStream | None = None,
    ) -> None:
        self.rate = rate
        self.broadcast_dims = broadcast_dims
        self.deterministic = deterministic
        self.rng_collection = rng_collection
        self.rngs: RngStream | None = data(None)
        if rngs is not None:
            self.rngs = of_stream(rngs, rng_collection, self, " or None").fork()

    def __call__(
        self,
        inputs: Array,
        *,
        deterministic: bool | None = None,
        rngs: Rngs | RngStream | PRNGKey | None = None,
    ) -> Array:
        """Drop entries.

        Args:
          inputs: the input, of any shape.
          deterministic: overrides the attribute.
          rngs: a stream, an `Rngs` or a random key to use in place of the stream of the layer.

        Returns:
          An array of the same shape.

        Raises:
          ValueError: if `deterministic` is given nowhere, there are no random numbers, or the rate
            is no probability.
          TypeError: if `rngs` is something else.
        """
        passes = self.deterministic if deterministic is None else deterministic
        if passes is None:
            raise ValueError(
                "No `deterministic` argument was provided to Dropout: nothing says whether this "
                f"one, of rate {self.rate}, is to drop anything. Give it to the constructor or to "
                "the call, call model.train() or model.eval(), or make a nnx.view(model, "
                "deterministic=...)."
            )
        rate = stochastic.check_rate(self.rate)
        if passes or stochastic.known(rate, 0.0):
            return inputs
        key = None
        if not stochastic.known(rate, 1.0):
            key = self._key(self.rngs if rngs is None else rngs)
        return stochastic.dropout(inputs, key, rate, self.broadcast_dims)

    def _key(self, rngs: Any) -> PRNGKey:
        if rngs is None:
            raise ValueError(
                "`deterministic` is False, but no `rngs` argument was provided to Dropout. "
                f"Give one to the constructor, nnx.Dropout({self.rate}, rngs=nnx.Rngs(0)), or to "
                "the call."
            )
        if isinstance(rngs, jax.Array):
            return rngs
        key: PRNGKey = of_stream(rngs, self.rng_collection, self, " or jax.Array")()
        return key

    def set_view(self, deterministic: bool | None = None) -> None:
        """Change how this layer works, as `ramie.nnx.view` does in all layers of a copy.

        Args:
          deterministic: whether to pass inputs through.
        """
        if deterministic is not None:
            self.deterministic = deterministic
