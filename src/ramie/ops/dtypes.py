"""Which dtype an operation computes in, and bringing its arrays there."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ramie.typing import Dtype

__all__ = ["PromoteDtypeFn", "canonicalize_dtype", "promote_dtype"]


class PromoteDtypeFn(Protocol):
    """What layers accept as their ``promote_dtype``: a function with that one's signature."""

    def __call__(self, *args: Any, dtype: Any = None, inexact: bool = True) -> list[Any]:
        """Return ``args`` as arrays of one dtype, None staying None."""
        ...


def canonicalize_dtype(*args: Any, dtype: Dtype | None = None, inexact: bool = True) -> Dtype:
    """Find the dtype in which an operation on `args` computes.

    Args:
      args: arrays or scalars; those that are None do not count.
      dtype: the answer, if it is given.
      inexact: whether the answer has to be a floating or complex type. Without `dtype`, integers
        then become at least float32.

    Returns:
      `dtype` as it was given, or the dtype that JAX promotes `args` to.

    Raises:
      ValueError: if `dtype` is an integer type while `inexact`, or nothing at all was given.
    """
    if dtype is None:
        arrays = [jnp.asarray(x) for x in args if x is not None]
        found = jnp.result_type(*arrays)
        if inexact and not jnp.issubdtype(found, jnp.inexact):
            return jnp.promote_types(jnp.float32, found)
        return found
    if inexact and not jnp.issubdtype(dtype, jnp.inexact):
        raise ValueError(
            f"Dtype must be inexact: {dtype} is no floating or complex type. Choose one such as "
            "float32 or bfloat16."
        )
    return dtype


# 64-bit types are left out: whether they survive depends on a switch of JAX.
_COMMON_INEXACT = frozenset(np.dtype(t) for t in ("float32", "float16", "complex64", jnp.bfloat16))


_array_classes: set[type] = set()


def _share_dtype(args: tuple[Any, ...], dtype: Any) -> bool:
    """Tell whether all of `args` are arrays of one common inexact dtype (of `dtype`, if given).

    Weakly typed arrays answer no: they still have to take on a definite type.
    """
    common = None
    try:
        for x in args:
            if x is None:
                continue
            if x.weak_type or (x.dtype != common and common is not None):
                return False
            if x.__class__ not in _array_classes:
                if not isinstance(x, jax.Array):  # a Variable of NNX only passes for one
                    return False
                _array_classes.add(x.__class__)
            common = x.dtype
    except AttributeError:  # a NumPy array, a scalar, a list: not yet an array of JAX
        return False
    return common in _COMMON_INEXACT and (dtype is None or bool(common == dtype))


def promote_dtype(*args: Any, dtype: Dtype | None = None, inexact: bool = True) -> list[Any]:
    """Turn `args` into arrays of one dtype, the one that `canonicalize_dtype` finds.

    Args:
      args: arrays or scalars. None stays None, so an absent bias needs no case of its own.
      dtype: the dtype to cast to; inferred if None.
      inexact: whether it has to be a floating or complex type.

    Returns:
      The arrays, as a list in the order of `args`.

    Example:
      >>> import jax.numpy as jnp
      >>> x, bias = promote_dtype(jnp.ones(2, jnp.bfloat16), None)
      >>> x.dtype, bias
      (dtype(bfloat16), None)
    """
    if _share_dtype(args, dtype):
        return list(args)
    common = canonicalize_dtype(*args, dtype=dtype, inexact=inexact)
    return [None if x is None else jnp.asarray(x, common) for x in args]
