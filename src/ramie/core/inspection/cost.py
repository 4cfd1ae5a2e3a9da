"""Functions as the compiler counts their operations, and the arrays among their arguments."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["flops", "shape_of", "split_arrays", "split_floats"]


def _is_array(leaf: Any) -> bool:
    if isinstance(leaf, float):  # numpy.float64 too: a number that Python code may look at
        return False
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def _is_float(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def _split(
    tree: Any, wanted: Callable[[Any], bool]
) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    leaves, treedef = jax.tree_util.tree_flatten(tree)
    places = [i for i, leaf in enumerate(leaves) if wanted(leaf)]
    chosen = [leaves[i] for i in places]
    for i in places:
        leaves[i] = None  # a tracer must not live on in what is returned

    def rebuild(values: list[Any]) -> Any:
        full = list(leaves)
        for i, value in zip(places, values, strict=True):
            full[i] = value
        return jax.tree_util.tree_unflatten(treedef, full)

    return chosen, rebuild


def split_arrays(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Take the arrays out of a pytree.

    Returns:
      The arrays, and a function that puts others in their place.
    """
    return _split(tree, _is_array)


def split_floats(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Take the arrays with a derivative out of a pytree of arrays; see `split_arrays`."""
    return _split(tree, _is_float)


def shape_of(array: Any) -> jax.ShapeDtypeStruct:
    """Return shape and dtype of an array, without the array."""
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def flops(fn: Callable[..., Any], *args: Any) -> int:
    """Ask the compiler how many operations a function has, without compiling it."""
    analysis = jax.jit(fn).lower(*args).cost_analysis()
    return int((analysis or {}).get("flops", 0))
