"""Activations that have parameters."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from ramie.nnx.layers.dtypes import promote_dtype
from ramie.nnx.layers.parameters import NO_METADATA, keep, raw
from ramie.nnx.modules.module import Module
from ramie.nnx.variable.kinds import Param
from ramie.ops import activations
from ramie.ops.drawing.sampling import filled
from ramie.typing import Array, Dtype, PromoteDtypeFn

__all__ = ["PReLU"]


class PReLU(Module):
    """Multiply negative entries by a slope that is learnt.

    Parameter: ``negative_slope``, a scalar.

    Args:
      negative_slope_init: the initial value of the slope.
      dtype: the dtype to compute in; by default that of the input, which the slope is cast to.
      param_dtype: the dtype in which the slope is initialised.
      promote_dtype: brings the input to that dtype.
      negative_slope_metadata: metadata of the slope.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> nnx.PReLU()(jnp.array([-100.0, 100.0])).tolist()
        [-1.0, 100.0]
    """

    dtype: Dtype | None
    param_dtype: Dtype
    promote_dtype: PromoteDtypeFn

    def __init__(
        self,
        negative_slope_init: float = 0.01,
        *,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        negative_slope_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        self.negative_slope = Param(
            filled((), negative_slope_init, param_dtype), **negative_slope_metadata
        )
        keep(self, dtype=dtype, param_dtype=param_dtype, promote_dtype=promote_dtype)

    def __call__(self, inputs: Array) -> Array:
        """Apply the activation.

        Args:
          inputs: the input, of any shape.

        Returns:
          An array of the same shape.
        """
        (x,) = self.promote_dtype((inputs,), dtype=self.dtype, inexact=False)
        return activations.prelu(x, raw(self.negative_slope))
