"""Evaluating only that part of a computation which does not need certain inputs."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.extend import core as jex

from ramie import errors

__all__ = ["evaluate_without"]


def _is_abstract(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _is_dynamic(leaf: Any) -> bool:
    return _is_abstract(leaf) or isinstance(leaf, jax.Array | np.ndarray | np.generic)


def evaluate_without(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Evaluate `fn(*args, **kwargs)`, where some arrays are given by shape and dtype alone.

    The function is traced once with every array abstract; then only those equations run which the
    outputs need.

    Args:
      fn: returns a pytree of arrays.
      args: pytrees; a leaf may be a `jax.ShapeDtypeStruct`.
      kwargs: as `args`.

    Raises:
      LazyInitError: if an output depends on the value of an abstract leaf.
    """
    leaves, treedef = jax.tree_util.tree_flatten((args, dict(kwargs)))
    dynamic = [i for i, leaf in enumerate(leaves) if _is_dynamic(leaf)]

    def on_arrays(arrays: list[Any]) -> Any:
        full = list(leaves)
        for i, array in zip(dynamic, arrays, strict=True):
            full[i] = array
        a, k = jax.tree_util.tree_unflatten(treedef, full)
        return fn(*a, **k)

    closed, out_shape = jax.make_jaxpr(on_arrays, return_shape=True)([leaves[i] for i in dynamic])
    jaxpr = closed.jaxpr
    unknown = {var for var, i in zip(jaxpr.invars, dynamic, strict=True) if _is_abstract(leaves[i])}
    needed = _needed_equations(jaxpr)
    for equation in needed:
        if any(v in unknown for v in equation.invars if not isinstance(v, jex.Literal)):
            unknown.update(equation.outvars)
    outputs, out_tree = jax.tree_util.tree_flatten(out_shape)
    for var, shape in zip(jaxpr.outvars, outputs, strict=True):
        if not isinstance(var, jex.Literal) and var in unknown:
            raise errors.LazyInitError(shape)
    # An abstract input is None here: no equation that is left reads it. The equations run one by
    # one, so that the bits are those of an ordinary init.
    known = [None if _is_abstract(leaves[i]) else leaves[i] for i in dynamic]
    reduced = jex.ClosedJaxpr(jaxpr.replace(eqns=needed), closed.consts)
    return jax.tree_util.tree_unflatten(out_tree, jex.jaxpr_as_fun(reduced)(*known))


def _needed_equations(jaxpr: Any) -> list[Any]:
    needed = {v for v in jaxpr.outvars if not isinstance(v, jex.Literal)}
    kept = []
    for equation in reversed(jaxpr.eqns):
        if equation.effects or any(v in needed for v in equation.outvars):
            kept.append(equation)
            needed.update(v for v in equation.invars if not isinstance(v, jex.Literal))
    return kept[::-1]
