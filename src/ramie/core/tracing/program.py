"""Programs that are traced once and called wherever a computation agrees with the first one."""

import gc
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex
from jax.extend.core.primitives import jit_p

from ramie.core.tracing.trace import current_trace, leaves_nothing_behind

__all__ = ["NotShared", "Program"]

# What an equation of `jit` says of each operand and of each result.
_OF_INPUTS = ("in_shardings", "in_layouts", "donated_invars")
_OF_OUTPUTS = ("out_shardings", "out_layouts")


class NotShared(Exception):
    """A computation depends on more than its operands: no other call may use its trace."""


class Program:
    """A function of arrays, traced once.

    Calls give the bits of calls of the function, those of gradients included: where an operand is
    used several times, each use is an operand of its own, so that its cotangents are added in the
    order in which they would be without a function around them.

    Args:
      fn: takes arrays and returns a list of tracers.
      operands: arrays or tracers of the shapes, dtypes and weak types that every call has.
      name: what the function is called in compiled programs.

    Raises:
      NotShared: if the trace holds tracers of another trace, has effects or calls of Python, or
        if `fn` kept a tracer.
    """

    __slots__ = ("_call", "_handed_on", "_order")

    def __init__(self, fn: Callable[..., list[Any]], operands: Sequence[Any], name: str) -> None:
        closed, token = _traced(fn, operands)
        rules = sum(e.primitive.name.startswith("custom_") for e in closed.jaxpr.eqns)
        if not leaves_nothing_behind(token, rules):
            gc.collect(1)  # what is in a cycle was kept by nobody
        if not leaves_nothing_behind(token, rules):
            raise NotShared("keeps a value of the trace")
        if any(isinstance(const, jax.core.Tracer) for const in closed.consts):
            raise NotShared("reads a traced value that is no argument")
        if closed.effects or _calls_python(closed.jaxpr):
            raise NotShared("has effects outside of the computation")
        places = {var: i for i, var in enumerate(closed.jaxpr.invars)}
        # What is returned as it came in has its cotangents where it is used, and not here.
        self._handed_on = [
            None if isinstance(v, jex.Literal) else places.get(v) for v in closed.jaxpr.outvars
        ]
        outvars = [v for v in closed.jaxpr.outvars if isinstance(v, jex.Literal) or v not in places]
        jaxpr = closed.jaxpr.replace(
            outvars=outvars, debug_info=closed.jaxpr.debug_info._replace(result_paths=None)
        )
        spread, self._order = _one_operand_per_use(jaxpr)
        self._call = _compiled(jex.ClosedJaxpr(spread, closed.consts), name)

    def __call__(self, operands: Sequence[Any]) -> list[Any]:
        """Return what `fn` returns for these operands."""
        results = iter(self._call(*[operands[i] for i in self._order]))
        return [next(results) if i is None else operands[i] for i in self._handed_on]


def _traced(fn: Callable[..., list[Any]], operands: Sequence[Any]) -> tuple[Any, Any]:
    """Return the program and the state of its trace; nothing else here outlives the trace."""
    token: Any = None

    def traced(*leaves: Any) -> list[Any]:
        nonlocal token
        token = current_trace()
        return fn(*leaves)

    return jax.make_jaxpr(traced)(*operands), token


def _compiled(closed: Any, name: str) -> Callable[..., Any]:
    """Return a function that calls a program as `jax.jit` would, and under that name."""
    evaluate = jex.jaxpr_as_fun(closed)

    def program(*operands: Any) -> Any:
        return evaluate(*operands)

    program.__name__ = program.__qualname__ = name
    compiled = jax.jit(program)
    if closed.consts:
        return compiled  # which places they have is for JAX to say
    # `jit` would trace what is traced already, and look at each operand of each call. So its
    # equation is made here: as that of a small function, with this program in it.
    model = jax.make_jaxpr(jax.jit(lambda x: x + x))(np.float32(0)).eqns
    if len(model) != 1 or model[0].primitive is not jit_p:
        return compiled  # nothing is compiled here
    params = dict(model[0].params, jaxpr=closed, name=name)
    for names, atoms in ((_OF_INPUTS, closed.jaxpr.invars), (_OF_OUTPUTS, closed.jaxpr.outvars)):
        params |= {key: params[key] * len(atoms) for key in names}
    return lambda *operands: jit_p.bind(*operands, **params)


def _calls_python(jaxpr: Any) -> bool:
    return any(
        "callback" in equation.primitive.name
        or any(map(_calls_python, jex.jaxprs_in_params(equation.params)))
        for equation in jaxpr.eqns
    )


def _one_operand_per_use(jaxpr: Any) -> tuple[Any, tuple[int, ...]]:
    """Give each use of an input that has cotangents an input of its own.

    Returns:
      The program, and for each of its inputs which input of the old one it stands for. The last
      use comes first, as the cotangent of the last use is there first.
    """
    inputs = {var: i for i, var in enumerate(jaxpr.invars) if _has_cotangent(var)}
    uses: list[list[tuple[int, Any]]] = []

    def spread_out(atoms: Sequence[Any]) -> list[Any]:
        own = [
            jex.Var(atom.aval) if not isinstance(atom, jex.Literal) and atom in inputs else None
            for atom in atoms
        ]
        pairs = list(zip(atoms, own, strict=True))
        uses.append([(inputs[atom], var) for atom, var in pairs if var is not None])
        return [atom if var is None else var for atom, var in pairs]

    equations = []
    for equation in jaxpr.eqns:
        if any(not isinstance(v, jex.Literal) and v in inputs for v in equation.invars):
            equation = equation.replace(invars=spread_out(equation.invars))
        equations.append(equation)
    # Within one equation the cotangent of the first operand is there first.
    in_order = [use for one in reversed(uses) for use in one]
    in_order += [(i, var) for i, var in enumerate(jaxpr.invars) if var not in inputs]
    names = jaxpr.debug_info.arg_names
    if names is not None:
        names = tuple(names[i] for i, _ in in_order) if len(names) == len(jaxpr.invars) else None
    spread = jaxpr.replace(
        invars=[var for _, var in in_order],
        eqns=equations,
        debug_info=jaxpr.debug_info._replace(arg_names=names),
    )
    return spread, tuple(i for i, _ in in_order)


def _has_cotangent(var: Any) -> bool:
    dtype = getattr(var.aval, "dtype", None)
    return dtype is not None and bool(jnp.issubdtype(dtype, jnp.inexact))
