"""Evaluating only that part of a computation which does not need certain inputs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex

from ramie import errors

__all__ = ["evaluate_known", "evaluate_without"]


def _is_abstract(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _is_dynamic(leaf: Any) -> bool:
    return _is_abstract(leaf) or isinstance(leaf, jax.Array | np.ndarray | np.generic)


def evaluate_without(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Evaluate `fn(*args, **kwargs)`, where some arrays are given by shape and dtype alone.

    Args:
      fn: returns a pytree of arrays.
      args: pytrees; a leaf may be a `jax.ShapeDtypeStruct`.
      kwargs: as `args`.

    Raises:
      LazyInitError: if an output depends on the value of an abstract leaf.
    """
    outputs = evaluate_known(fn, args, kwargs)
    for leaf in jax.tree_util.tree_leaves(outputs):
        if _is_abstract(leaf):
            raise errors.LazyInitError(leaf)
    return outputs


def evaluate_known(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Evaluate those outputs of `fn(*args, **kwargs)` which no abstract leaf takes part in.

    The function is traced once with every array abstract; then only those equations run which
    the known outputs need.

    Args:
      fn: returns a pytree of arrays.
      args: pytrees; a leaf may be a `jax.ShapeDtypeStruct`.
      kwargs: as `args`.

    Returns:
      What `fn` returns, with a `jax.ShapeDtypeStruct` for each output that is not known.
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
    for equation in jaxpr.eqns:
        if any(var in unknown for var in _variables(equation.invars)):
            unknown.update(equation.outvars)
    shapes, out_tree = jax.tree_util.tree_flatten(out_shape)
    is_known = [isinstance(v, jex.Literal) or v not in unknown for v in jaxpr.outvars]
    outvars = [v for v, known in zip(jaxpr.outvars, is_known, strict=True) if known]
    runnable = [e for e in jaxpr.eqns if not any(v in unknown for v in _variables(e.invars))]
    # An abstract input is None here: no equation that is left reads it. The equations run one by
    # one, so that the bits are those of an ordinary init.
    given = [None if _is_abstract(leaves[i]) else leaves[i] for i in dynamic]
    reduced = jex.ClosedJaxpr(
        jaxpr.replace(eqns=_needed_equations(runnable, outvars), outvars=outvars), closed.consts
    )
    # A constant of the trace comes back as a number of JAX's own kind.
    values = map(jnp.asarray, jex.jaxpr_as_fun(reduced)(*given))
    results = [next(values) if known else s for s, known in zip(shapes, is_known, strict=True)]
    return jax.tree_util.tree_unflatten(out_tree, results)


def _variables(atoms: Iterable[Any]) -> list[Any]:
    return [atom for atom in atoms if not isinstance(atom, jex.Literal)]


def _needed_equations(equations: list[Any], outvars: list[Any]) -> list[Any]:
    needed = set(_variables(outvars))
    kept = []
    for equation in reversed(equations):
        if equation.effects or any(v in needed for v in equation.outvars):
            kept.append(equation)
            needed.update(_variables(equation.invars))
    return kept[::-1]
