"""Parts of a traced program, and what each of them costs."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun

from ramie.core.inspection.cost import flops, shape_of, split_floats

__all__ = ["Parts"]


class Parts:
    """Marks stretches of a program while it is traced, and finds them in the trace.

    Each stretch is a named scope of JAX, so the equations know which they belong to; nothing is
    traced twice.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> parts = Parts()
        >>> def program(x):
        ...     with parts.part(0):
        ...         y = x @ x
        ...     return y + 1
        >>> parts.flops(jax.make_jaxpr(program)(jnp.ones((4, 4))), 0)
        128
    """

    @contextlib.contextmanager
    def part(self, number: int) -> Iterator[None]:
        """Give a ``with`` block of the program a number."""
        with jax.named_scope(self._name(number)):
            yield

    def _name(self, number: int) -> str:
        return f"ramie_part_{id(self)}_{number}_"

    def flops(self, program: Any, number: int, backward: bool = False) -> int:
        """Count the floating-point operations of one part.

        Args:
          program: what `jax.make_jaxpr` returned.
          number: of the part.
          backward: count the gradient, too, in respect of all that goes in.
        """
        name = self._name(number)
        jaxpr = program.jaxpr
        inside = [eqn for eqn in jaxpr.eqns if name in str(eqn.source_info.name_stack)]
        if not inside:
            return 0
        part, arguments = _cut(jaxpr, inside)
        run = jaxpr_as_fun(part)
        if not backward:
            return flops(run, *arguments)

        def with_gradient(change: Any, *arguments: Any) -> Any:
            floats, rebuild = split_floats(list(arguments))
            outputs, pull_back = jax.vjp(lambda xs: split_floats(run(*rebuild(xs)))[0], floats)
            return outputs, pull_back(change)

        change = jax.eval_shape(lambda *xs: split_floats(run(*xs))[0], *arguments)
        return flops(with_gradient, change, *arguments)


def _cut(jaxpr: Any, inside: Sequence[Any]) -> tuple[Any, list[jax.ShapeDtypeStruct]]:
    """Make a program of some equations of another one.

    Returns:
      The program, and the shapes of what goes in: all that these equations read and do not make.
    """
    made = {id(var) for eqn in inside for var in eqn.outvars}
    chosen = {id(eqn) for eqn in inside}
    outside = [eqn for eqn in jaxpr.eqns if id(eqn) not in chosen]
    read_later = {id(var) for eqn in outside for var in eqn.invars}
    read_later |= {id(var) for var in jaxpr.outvars}
    invars: dict[int, Any] = {}
    for eqn in inside:
        for var in eqn.invars:
            if not isinstance(var, Literal) and id(var) not in made:
                invars[id(var)] = var
    outvars = [var for eqn in inside for var in eqn.outvars if id(var) in read_later]
    names = jaxpr.debug_info.with_unknown_names()
    part = Jaxpr((), list(invars.values()), outvars, list(inside), debug_info=names)
    return ClosedJaxpr(part, ()), [shape_of(var.aval) for var in invars.values()]
