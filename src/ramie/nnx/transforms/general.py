"""Transformations of JAX by hand: split the inputs outside, merge them inside."""

import functools
from collections.abc import Callable
from typing import Any

from ramie.nnx.graph.contexts import update_context
from ramie.nnx.transforms.trees import clear_non_graph_nodes, from_tree, to_tree
from ramie.typing import MISSING

__all__ = ["merge_inputs", "split_inputs"]


def split_inputs(f: Any = MISSING, *, ctxtag: str = "split_merge_inputs") -> Any:
    """Take modules apart before they reach a transformed function, and update them after it.

    Args:
      f: a transformation of a function that `merge_inputs` returned; or a transformation that
        gets such functions as arguments.
      ctxtag: the same for both.

    Example:
        >>> import jax
        >>> from ramie import nnx
        >>> from ramie.nnx.transforms import general
        >>> @general.split_inputs
        ... @jax.jit
        ... @general.merge_inputs
        ... def count(variable):
        ...     variable[...] += 1
        >>> steps = nnx.Variable(0)
        >>> count(steps)
        >>> int(steps)
        1
    """
    if f is MISSING:
        return functools.partial(split_inputs, ctxtag=ctxtag)

    @functools.wraps(f)
    def split(*args: Any) -> Any:
        with update_context(ctxtag):
            returned = f(*to_tree(args, ctxtag=ctxtag))
            _, out = from_tree(returned, ctxtag=ctxtag, is_inner=False)
        return out

    return split


def merge_inputs(f: Any = MISSING, *, ctxtag: str = "split_merge_inputs") -> Any:
    """Let a function of modules take what `split_inputs` made of them.

    Args:
      f: the function. What is returned returns the modules in its arguments beside its output.
      ctxtag: the same for both.
    """
    if f is MISSING:
        return functools.partial(merge_inputs, ctxtag=ctxtag)
    function: Callable[..., Any] = f

    @functools.wraps(f)
    def merge(*pure_args: Any) -> Any:
        args = from_tree(pure_args, ctxtag=ctxtag, is_inner=True)
        out = function(*args)
        return to_tree((clear_non_graph_nodes(args), out), ctxtag=ctxtag)

    return merge
