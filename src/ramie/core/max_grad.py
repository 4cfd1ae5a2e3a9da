"""An element type whose gradients are joined by their maximum instead of being added.

A variable that is used several times, as in a scan, receives the sum of the gradients of all uses.
For the scales of fp8 arithmetic, whose "gradients" are their next values, a sum is meaningless.
Converted to this type with `jax.lax.convert_element_type`, they are joined by maximum.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.core.tracing import trace
from ramie.typing import Array

__all__ = ["MAX_GRAD_FLOAT32", "MaxGradDType", "MaxGradRules", "MaxGradScalar"]


class MaxGradScalar(jax.dtypes.extended):
    """The scalar type of `MaxGradDType`, for `jax.numpy.issubdtype`."""


class MaxGradRules:
    """What JAX asks about the type: how it is stored, converted, filled and joined."""

    @staticmethod
    def physical_element_aval(dtype: Any) -> Any:
        """Return what one element is stored as."""
        return jax.core.ShapedArray((), np.dtype(dtype.float_dtype))

    @staticmethod
    def convert_from(fp8_meta_dtype: Any, other_dtype: Any) -> bool:
        """Tell whether a conversion to another dtype is allowed: only to the stored one."""
        return bool(np.dtype(fp8_meta_dtype.float_dtype) == other_dtype)

    @staticmethod
    def convert_to(other_dtype: Any, fp8_meta_dtype: Any) -> bool:
        """Tell whether a conversion from another dtype is allowed: only from the stored one."""
        return bool(np.dtype(fp8_meta_dtype.float_dtype) == other_dtype)

    @staticmethod
    def add(dt: Any, x: Array, y: Array) -> Array:
        """Join two gradients: by maximum."""
        stored = dt.float_dtype
        larger = lax.max(lax.convert_element_type(x, stored), lax.convert_element_type(y, stored))
        return lax.convert_element_type(larger, dt)

    @staticmethod
    def zero(dt: Any) -> Array:
        """Return what changes nothing when it is joined: minus infinity."""
        return lax.convert_element_type(np.array(-np.inf, dt.float_dtype), dt)

    @staticmethod
    def tangent_dtype(dtype: Any) -> Any:
        """Return the type of gradients: the same."""
        return dtype

    @staticmethod
    def full(shape: tuple[int, ...], fill_value: Any, dtype: Any) -> Array:
        """Return an array filled with one value."""
        return lax.convert_element_type(jnp.full(shape, fill_value, dtype.float_dtype), dtype)

    @staticmethod
    def global_sharded_result_handler(aval: Any, out_sharding: Any, committed: bool) -> Any:
        """Return how to make an array of this type from buffers, outside of transformations."""
        return trace.extended_result_handler(aval, out_sharding, committed)


@dataclasses.dataclass(frozen=True)
class MaxGradDType(trace.ExtendedDType):
    """A dtype stored as `float_dtype`, whose gradients are joined by maximum.

    Args:
      float_dtype: the dtype of the numbers.
    """

    float_dtype: Any
    _rules: type = MaxGradRules
    type: type = MaxGradScalar

    @property
    def name(self) -> str:
        """The name that JAX prints."""
        return f"fp8_meta{np.dtype(self.float_dtype).itemsize * 8}"

    def __repr__(self) -> str:
        return self.name


MAX_GRAD_FLOAT32 = MaxGradDType(jnp.float32)
