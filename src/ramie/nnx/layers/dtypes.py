"""Bringing the arrays of a layer to one dtype; as functions of one tuple, which layers may take.

Differs from `ramie.ops.dtypes`, which Linen uses: there the arrays are separate arguments.
"""

from typing import Any

import jax

from ramie.nnx.modules.places import place, running
from ramie.ops import dtypes
from ramie.typing import Dtype

__all__ = ["promote_dtype"]


def promote_dtype(args: Any, /, *, dtype: Dtype | None = None, inexact: bool = True) -> Any:
    """Turn `args` into arrays of one dtype; see `ramie.ops.dtypes.promote_dtype`.

    Args:
      args: a tuple of arrays or scalars. None stays None.
      dtype: the dtype to cast to; by default what they promote to.
      inexact: whether it has to be a floating or complex type.

    Returns:
      The arrays, as a tuple in the same order.

    Raises:
      ValueError: if `dtype` is an integer type while `inexact`.
      TypeError: if an array is only described, by shape and dtype.

    Example:
        >>> import jax.numpy as jnp
        >>> x, bias = promote_dtype((jnp.ones(2, jnp.bfloat16), None))
        >>> x.dtype, bias
        (dtype(bfloat16), None)
    """
    try:
        return tuple(dtypes.promote_dtype(*args, dtype=dtype, inexact=inexact))
    except TypeError as error:
        if any(isinstance(x, jax.ShapeDtypeStruct) for x in args):
            layers = [found[0] for found in running()]
            raise TypeError(
                f"{place(layers[0]) if layers else 'A layer'} has shapes in place of values, as "
                "models of nnx.eval_shape have, and computes nothing. Call it inside of "
                "nnx.eval_shape, or give it values first: nnx.update(model, state)."
            ) from error
        raise
