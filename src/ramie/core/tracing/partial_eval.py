"""Evaluating functions of which some arguments are known by shape and dtype alone."""

import functools
from collections.abc import Callable
from typing import Any

from ramie import errors as errors
from ramie.core.tracing.abstract import evaluate_without

__all__ = ["lazy_init"]


def lazy_init(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function take `jax.ShapeDtypeStruct`s for arguments that its result does not need.

    Args:
      fn: returns a pytree of arrays, such as the variables of a model.

    Returns:
      A function of the same arguments. Only what the result needs is computed; it raises
      `LazyInitError` if that includes the value of an argument given by shape.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> weights = lazy_init(lambda key, x: jax.random.normal(key, x.shape[-1:]))
      >>> weights(jax.random.key(0), jax.ShapeDtypeStruct((1024, 3), jnp.float32)).shape
      (3,)
    """

    @functools.wraps(fn)
    def evaluated(*args: Any, **kwargs: Any) -> Any:
        return evaluate_without(fn, args, kwargs)

    return evaluated
