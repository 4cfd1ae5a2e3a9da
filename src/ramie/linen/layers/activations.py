"""Activations that have parameters."""

from typing import Any

import jax
import jax.numpy as jnp

from ramie.linen.module import Module, compact
from ramie.ops import activations
from ramie.typing import Array, Dtype

__all__ = ["PReLU"]


class PReLU(Module):
    """Multiply negative entries by a slope that is learnt.

    Parameter: ``negative_slope``, a scalar.

    Attributes:
      param_dtype: dtype in which the slope is initialised.
      negative_slope_init: its initial value.

    Example:
      >>> import jax, ramie.linen as nn
      >>> x = jax.numpy.array([-100.0, 100.0])
      >>> y, _ = nn.PReLU().init_with_output(jax.random.key(0), x)
      >>> y.tolist()
      [-1.0, 100.0]
    """

    param_dtype: Dtype = jnp.float32
    negative_slope_init: float = 0.01

    @compact
    def __call__(self, inputs: Array) -> Array:
        """Apply the activation.

        Args:
          inputs: the input, of any shape.

        Returns:
          An array of the same shape and dtype.
        """
        slope = self.param("negative_slope", _filled, self.negative_slope_init, self.param_dtype)
        return activations.prelu(inputs, slope)


def _filled(key: jax.Array, value: float, dtype: Any) -> Array:
    return jnp.asarray(value, dtype)
