"""Calling a function of one batch axis on arrays that have several."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

__all__ = ["BatchApply"]


class BatchApply:
    """Makes a function see the first axes of its arguments as one, and takes them apart again.

    Arrays with fewer than `num_dims` axes, numbers and None reach the function as they are. The
    axes of the results are restored to those of the first array that was merged.

    Args:
      f: the function, or a module. Every array that it returns begins with the merged axis.
      num_dims: how many axes are merged.

    Raises:
      ValueError: if `num_dims` is not positive; and when called, if no array has that many axes, or
        a result does not begin with the merged axis.

    Example:
      >>> import jax.numpy as jnp, ramie.linen as nn
      >>> def outer(a, b):
      ...     return a[:, :, None] * b  # wants a: [batch, n]
      >>> nn.BatchApply(outer)(jnp.ones((2, 3, 4)), jnp.ones(())).shape
      (2, 3, 4, 1)
    """

    def __init__(self, f: Callable[..., Any], num_dims: int = 2) -> None:
        if num_dims < 1:
            raise ValueError(f"BatchApply merges one axis or more, not num_dims={num_dims}.")
        self._f = f
        self.num_dims = num_dims

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function with merged arguments and return its results, taken apart."""
        leaves, structure = jax.tree_util.tree_flatten((args, kwargs))
        leading = next((np.shape(x)[: self.num_dims] for x in leaves if self._is_batch(x)), None)
        if leading is None:
            raise ValueError(
                f"BatchApply requires at least one input with ndim >= {self.num_dims}, but got "
                f"the shapes {[np.shape(x) for x in leaves]}."
            )
        merged_args, merged_kwargs = jax.tree_util.tree_unflatten(
            structure, [self._merge(x) if self._is_batch(x) else x for x in leaves]
        )
        results = self._f(*merged_args, **merged_kwargs)
        return jax.tree_util.tree_map(lambda y: _split(y, leading), results)

    def _is_batch(self, value: Any) -> bool:
        return getattr(value, "ndim", 0) >= self.num_dims

    def _merge(self, array: Any) -> Any:
        shape = array.shape
        return array.reshape((math.prod(shape[: self.num_dims]), *shape[self.num_dims :]))


def _split(result: Any, leading: tuple[int, ...]) -> Any:
    shape = np.shape(result)
    if not shape or shape[0] != math.prod(leading):
        raise ValueError(
            f"a function under BatchApply returned an array of shape {shape}, which does not begin "
            f"with the merged axis of size {math.prod(leading)} = {leading}."
        )
    return result.reshape((*leading, *shape[1:]))
