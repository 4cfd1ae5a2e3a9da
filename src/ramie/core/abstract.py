"""Evaluating only that part of a computation which does not need certain inputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex
from jax.interpreters import partial_eval

from ramie import errors

__all__ = ["evaluate_known", "evaluate_without"]


def _is_abstract(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _is_dynamic(leaf: Any) -> bool:
    return _is_abstract(leaf) or isinstance(leaf, jax.Array | np.ndarray | np.generic)


class _Traced:
    """A function traced once with every array abstract, of which parts can be run.

    Args:
      fn: returns a pytree of arrays.
      args: pytrees; a leaf may be a `jax.ShapeDtypeStruct`.
      kwargs: as `args`.

    Attributes:
      shapes: shape and dtype of each output.
      out_tree: the structure of the outputs.
      tainted: for each output, whether an abstract leaf enters an equation it comes from.
    """

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        leaves, treedef = jax.tree_util.tree_flatten((args, dict(kwargs)))
        dynamic = [i for i, leaf in enumerate(leaves) if _is_dynamic(leaf)]

        def on_arrays(arrays: list[Any]) -> Any:
            full = list(leaves)
            for i, array in zip(dynamic, arrays, strict=True):
                full[i] = array
            a, k = jax.tree_util.tree_unflatten(treedef, full)
            return fn(*a, **k)

        self._inputs = [leaves[i] for i in dynamic]
        closed, shape = jax.make_jaxpr(on_arrays, return_shape=True)(self._inputs)
        self.shapes, self.out_tree = jax.tree_util.tree_flatten(shape)
        self._consts = closed.consts
        self._jaxpr, self.tainted = _separate(closed.jaxpr, [_is_abstract(x) for x in self._inputs])

    def reads_unknown(self, wanted: Sequence[bool]) -> bool:
        """Tell whether the wanted outputs need an unknown input, looking into nested programs."""
        _, _, used = partial_eval.dce_jaxpr_consts(self._jaxpr, wanted)
        return any(
            is_used and _is_abstract(leaf) for is_used, leaf in zip(used, self._inputs, strict=True)
        )

    def run(self, wanted: Sequence[bool]) -> list[Any]:
        """Compute the wanted outputs, equation by equation: the bits are those of a plain call."""
        jaxpr, used_consts, used = partial_eval.dce_jaxpr_consts(self._jaxpr, wanted)
        consts = [c for c, is_used in zip(self._consts, used_consts, strict=True) if is_used]
        inputs = [leaf for leaf, is_used in zip(self._inputs, used, strict=True) if is_used]
        # A constant of the trace comes back as a number of JAX's own kind.
        program = jex.jaxpr_as_fun(jex.ClosedJaxpr(jaxpr, consts))
        return [jnp.asarray(value) for value in program(*inputs)]


def _separate(jaxpr: Any, abstract: Sequence[bool]) -> tuple[Any, list[bool]]:
    """Follow the abstract inputs through a program.

    Returns:
      The program without the equations that only have an effect and can have none, since they
      print or report what is not known; and for each output whether it comes from such inputs.
    """
    unknown = {var for var, is_abstract in zip(jaxpr.invars, abstract, strict=True) if is_abstract}
    kept = []
    for equation in jaxpr.eqns:
        if any(v in unknown for v in equation.invars if not isinstance(v, jex.Literal)):
            unknown.update(equation.outvars)
            if not equation.outvars:
                continue
        kept.append(equation)
    tainted = [not isinstance(v, jex.Literal) and v in unknown for v in jaxpr.outvars]
    return jaxpr.replace(eqns=kept), tainted


def evaluate_without(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Evaluate `fn(*args, **kwargs)`, where some arrays are given by shape and dtype alone.

    The function is traced once with every array abstract; then only that runs which the outputs
    need, inside `jit`, `checkpoint`, `scan` and their kin too.

    Args:
      fn: returns a pytree of arrays.
      args: pytrees; a leaf may be a `jax.ShapeDtypeStruct`.
      kwargs: as `args`.

    Raises:
      LazyInitError: if an output depends on the value of an abstract leaf.
    """
    traced = _Traced(fn, args, kwargs)
    count = len(traced.shapes)
    if traced.reads_unknown([True] * count):
        for i, shape in enumerate(traced.shapes):
            if traced.reads_unknown([j == i for j in range(count)]):
                raise errors.LazyInitError(shape)
    return jax.tree_util.tree_unflatten(traced.out_tree, traced.run([True] * count))


def evaluate_known(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Evaluate those outputs of `fn(*args, **kwargs)` which no abstract leaf takes part in.

    Args:
      fn: returns a pytree of arrays.
      args: pytrees; a leaf may be a `jax.ShapeDtypeStruct`.
      kwargs: as `args`.

    Returns:
      What `fn` returns, with a `jax.ShapeDtypeStruct` for each output that is not known.
    """
    traced = _Traced(fn, args, kwargs)
    count = len(traced.shapes)
    # An equation that is a whole program may mix what is known with what is not: look inside.
    known = [
        not (is_tainted and traced.reads_unknown([j == i for j in range(count)]))
        for i, is_tainted in enumerate(traced.tainted)
    ]
    values = iter(traced.run(known))
    results = [next(values) if ok else s for s, ok in zip(traced.shapes, known, strict=True)]
    return jax.tree_util.tree_unflatten(traced.out_tree, results)
