"""Evaluating only that part of a computation which does not need certain inputs."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex
from jax.interpreters import partial_eval

from ramie import errors
from ramie.core.tracing.trace import at_traced_forward, outside_traces

__all__ = [
    "evaluate",
    "evaluate_known",
    "evaluate_without",
    "needed_part",
    "with_values",
    "without_tracers",
]


def _is_abstract(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _is_dynamic(leaf: Any) -> bool:
    return _is_abstract(leaf) or isinstance(leaf, jax.Array | np.ndarray | np.generic)


class _Slot:
    """Stands among leaves for a value that is still to be computed.

    Args:
      index: its place among these values.
    """

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


class _Emptied(NamedTuple):
    """A pytree taken apart. The user's classes are never made with slots: they may look into them.

    Attributes:
      treedef: its structure.
      leaves: its leaves, with slots for tracers.
    """

    treedef: Any
    leaves: list[Any]


def without_tracers(tree: Any) -> tuple[Any, list[Any]]:
    """Take what is only traced out of a tree; `with_values` puts values in its place.

    Returns:
      The tree, taken apart and with slots, and the tracers, each once.
    """
    slots: dict[int, _Slot] = {}
    tracers: list[Any] = []
    return _emptied(tree, slots, tracers), tracers


def _emptied(part: Any, slots: dict[int, _Slot], tracers: list[Any]) -> Any:
    # Not a function inside of `without_tracers`: one that calls itself is a cycle, which would keep
    # the trace until the garbage collector runs.
    if type(part) is dict:  # as JAX it would be sorted
        return {key: _emptied(value, slots, tracers) for key, value in part.items()}
    if isinstance(part, jax.Array):
        return _slot(part, slots, tracers)
    leaves, treedef = jax.tree_util.tree_flatten(part)
    return _Emptied(treedef, [_slot(leaf, slots, tracers) for leaf in leaves])


def _slot(leaf: Any, slots: dict[int, _Slot], tracers: list[Any]) -> Any:
    if not isinstance(leaf, jax.core.Tracer):
        return leaf
    made = slots.get(id(leaf))
    if made is None:
        made = slots[id(leaf)] = _Slot(len(tracers))
        tracers.append(leaf)
    return made


def with_values(tree: Any, values: Sequence[Any]) -> Any:
    """Put together what `without_tracers` took apart, with values in the slots."""

    def filled(x: Any) -> Any:
        return values[x.index] if isinstance(x, _Slot) else x

    if type(tree) is dict:
        return {key: with_values(value, values) for key, value in tree.items()}
    if isinstance(tree, _Emptied):
        return jax.tree_util.tree_unflatten(tree.treedef, map(filled, tree.leaves))
    return filled(tree)


class _Traced:
    """A function traced once with every array abstract, of which parts can be run.

    Args:
      fn: returns a pytree. A leaf that does not come from the trace, such as a Python number or
        text, is an output as it is.
      args: pytrees; a leaf may be a `jax.ShapeDtypeStruct`.
      kwargs: as `args`.

    Attributes:
      shapes: shape and dtype of each traced output.
      tainted: for each of them, whether an abstract leaf enters an equation it comes from.
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
            self._outputs, tracers = without_tracers(fn(*a, **k))
            return tracers

        self._inputs = [leaves[i] for i in dynamic]
        closed, self.shapes = jax.make_jaxpr(on_arrays, return_shape=True)(self._inputs)
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
        # In `init`, what depends on nothing but real keys is computed, as initializers are.
        are_real = not any(isinstance(x, jax.core.Tracer) for x in (*consts, *inputs))
        with outside_traces() if are_real and at_traced_forward() else contextlib.nullcontext():
            return [jnp.asarray(value) for value in program(*inputs)]

    def assembled(self, values: Sequence[Any]) -> Any:
        """Return what the function returns, with `values` for the traced outputs."""
        return with_values(self._outputs, values)


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
      fn: returns a pytree. What is no array in it, such as a Python number or text, stays as it is.
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
    return traced.assembled(traced.run([True] * count))


def evaluate_known(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Evaluate those outputs of `fn(*args, **kwargs)` which no abstract leaf takes part in.

    Args:
      fn: returns a pytree. What is no array in it, such as a Python number or text, stays as it is.
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
    return traced.assembled(
        [next(values) if ok else s for s, ok in zip(traced.shapes, known, strict=True)]
    )


# Equations that move, compare or choose: alone or compiled together, they give the same bits.
_MOVING = frozenset(
    (
        *("broadcast_in_dim", "reshape", "squeeze", "transpose", "rev", "slice", "dynamic_slice"),
        *("dynamic_update_slice", "gather", "concatenate", "pad", "select_n", "iota", "split"),
        *("copy", "copy_p", "convert_element_type", "bitcast_convert_type", "stop_gradient"),
        *("random_wrap", "random_unwrap", "random_seed", "random_split", "random_fold_in"),
        *("random_bits", "random_clone", "neg", "abs", "sign", "max", "min", "clamp", "eq", "ne"),
        *("lt", "le", "gt", "ge", "reduce_max", "reduce_min", "argmax", "argmin"),
    )
)
_ARITHMETIC = frozenset(
    (
        *("add", "sub", "mul", "div", "sqrt", "rsqrt", "square", "integer_pow", "pow"),
        *("exp", "log", "reduce_sum"),
    )
)
_FACTORING = frozenset(("mul", "div", "sqrt", "convert_element_type"))
# Whole programs. JAX compiles them in an eager call too, except `checkpoint`: that it runs equation
# by equation, as the evaluation here does.
_PROGRAMS = frozenset(("jit", "pjit", "scan", "while", "cond", "checkpoint", "remat2"))
_SAMPLERS = frozenset(("_uniform", "_normal", "_normal_real", "_truncated_normal", "_bernoulli"))


def _is_rounded(aval: Any) -> bool:
    dtype = getattr(aval, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)


def _keeps_every_bit(jaxpr: Any) -> bool:
    """Tell whether evaluation equation by equation rounds as the calls that were traced.

    A function of `jax.numpy` may be one compiled program when called eagerly, and several equations
    in a trace; XLA fuses within the program and can round differently there. The trace does not
    tell. So no number that arithmetic has rounded may enter arithmetic again. The exception are
    factors: single numbers that come from nothing but known ones, by steps that nothing fuses.
    """
    rounded: set[Any] = set()
    factors: set[Any] = set()
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        arguments = [v for v in equation.invars if not isinstance(v, jex.Literal)]
        is_single = all(v.aval.size == 1 for v in equation.outvars)
        if is_single and name in _FACTORING and factors.issuperset(arguments):
            factors.update(equation.outvars)
            continue
        has_rounded = any(v in rounded for v in arguments)
        if name in _MOVING:
            if has_rounded:
                rounded.update(v for v in equation.outvars if _is_rounded(v.aval))
            continue
        if name in _PROGRAMS:
            if has_rounded:
                return False
            if equation.params.get("name") in _SAMPLERS:
                continue
        elif "jaxpr" in equation.params or "call_jaxpr" in equation.params:
            return False
        elif not any(_is_rounded(v.aval) for v in (*equation.invars, *equation.outvars)):
            continue
        elif has_rounded or name not in _ARITHMETIC:
            return False
        rounded.update(v for v in equation.outvars if _is_rounded(v.aval))
    return True


def needed_part(closed: Any) -> Any:
    """Cut a traced program without inputs down to what its outputs need.

    Args:
      closed: what `jax.make_jaxpr` gives.

    Returns:
      A program for `evaluate`; or None if some bits of its outputs might differ from those of the
      eager calls that were traced.
    """
    wanted = [True] * len(closed.jaxpr.outvars)
    jaxpr, used_consts, _ = partial_eval.dce_jaxpr_consts(closed.jaxpr, wanted)
    if jaxpr.effects or not _keeps_every_bit(jaxpr):
        return None
    consts = [c for c, is_used in zip(closed.consts, used_consts, strict=True) if is_used]
    return jex.ClosedJaxpr(jaxpr, consts)


def evaluate(closed: Any) -> list[Any]:
    """Run a program without inputs, equation by equation."""
    return [jnp.asarray(value) for value in jex.jaxpr_as_fun(closed)()]
