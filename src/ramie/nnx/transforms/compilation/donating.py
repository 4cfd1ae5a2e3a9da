"""Donation without being told: a step gives away the old values of variables that it replaces.

One program is compiled for a structure. It takes the memory of all variables to which the function
stores a value of the same shape and dtype, as tracing it showed. What something besides the
variable can reach (`core.donation`) is copied before the call, and the copy is given away: that
takes the memory which a step without donation takes for this variable, and no second program.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ramie.core.donation import copied, counts, held, is_plain
from ramie.nnx.modules.places import noting
from ramie.nnx.transforms.arguments.inside import Inside
from ramie.nnx.transforms.arguments.operands import Operands
from ramie.nnx.transforms.arguments.outline import Outline
from ramie.nnx.variable.base import Variable

__all__ = ["Donating"]

_HOLDERS = 2  # the variable, and the values of `Operands`


class _Plan(NamedTuple):
    """The program for one structure.

    Attributes:
      numbers: of the leaves whose memory it takes.
      take: returns their values from the values of all leaves.
      jitted: the program, of outline and values.
    """

    numbers: tuple[int, ...]
    take: Callable[[Sequence[Any]], Sequence[Any]]
    jitted: Any


class _Unfit(Exception):
    """While it was traced a function did what the plan did not foresee.

    Attributes:
      lost: numbers of leaves that it does not return, though their memory is taken.
      kept: numbers of leaves whose values the trace holds, as constants.
    """

    def __init__(self, lost: Sequence[int] = (), kept: Sequence[int] = ()) -> None:
        super().__init__(lost, kept)
        self.lost, self.kept = lost, kept


class Donating:
    """The programs of a function that give away what it replaces.

    Args:
      name: of the function.
      call: calls it with its arguments, put together inside.
      edge: the boundary; it has one prefix.
      **options: of `jax.jit`.
    """

    def __init__(
        self, name: str, call: Callable[[Inside, Outline], Any], edge: Any, **options: Any
    ) -> None:
        self._call = call
        self._edge = edge
        self._options = options
        self._plans: dict[Outline, _Plan] = {}
        self._lock = threading.RLock()
        self._here = threading.local()

        @noting
        def pure(outline: Outline, *values: Any) -> Any:
            return self._inside(outline, values)

        pure.__name__ = pure.__qualname__ = name
        self._pure = pure

    # --- inside of the trace ------------------------------------------------------------------

    def _inside(self, outline: Outline, values: Sequence[Any]) -> Any:
        plan = self._plans.get(outline)
        given = getattr(self._here, "given", None)
        before = counts(given) if given else []
        inside = self._edge.enter(outline, (values,))
        out = self._call(inside, outline)
        if plan is None:
            returned = inside.leave(out)
            self._here.replaced = _replaced(inside, values)
            return returned
        # JAX shares one trace among programs, so each trace of a structure returns all of these.
        returned = inside.leave(out, always=plan.numbers)
        lost = [n for n in plan.numbers if n not in inside.returned]
        if lost:
            raise _Unfit(lost=lost)
        if given:
            after = counts(given)
            kept = [n for n, x, y in zip(plan.numbers, before, after, strict=True) if x != y]
            if kept:
                raise _Unfit(kept=kept)
        return returned

    # --- outside ------------------------------------------------------------------------------

    def program(self, operands: Operands) -> Any:
        """Return the compiled function of outline and values for arguments."""
        return self._plan(operands).jitted

    def _plan(self, operands: Operands) -> _Plan:
        outline = operands.outline
        plan = self._plans.get(outline)
        if plan is None:
            with self._lock:  # of two different first traces, neither would know of the other
                plan = self._plans.get(outline)
                if plan is None:
                    self._here.given = None
                    jax.jit(self._pure, **self._options).trace(outline, *operands.groups[0])
                    plan = self._plans[outline] = self._planned(self._here.replaced)
        return plan

    def _planned(self, numbers: tuple[int, ...]) -> _Plan:
        options = self._options
        if numbers:
            options = {**options, "donate_argnums": tuple(number + 1 for number in numbers)}
        return _Plan(numbers, _taker(numbers), jax.jit(self._pure, **options))

    def _without(self, outline: Outline, lost: Sequence[int]) -> None:
        """Take less from now on."""
        with self._lock:
            numbers = self._plans[outline].numbers
            self._plans[outline] = self._planned(tuple(n for n in numbers if n not in lost))

    def run(self, operands: Operands, program: Any = None) -> Any:
        """Run the function.

        Args:
          operands: its arguments.
          program: what was compiled for them, if not what `program` returns.

        Returns:
          What `Inside.leave` returned.
        """
        outline, values = operands.outline, operands.groups[0]
        apart: set[int] = set()
        while True:
            plan = self._plan(operands)
            called = plan.jitted if program is None else program
            if not plan.numbers:
                return called(outline, *values)
            arguments = values
            given = plan.take(values)
            kept = held(given, _HOLDERS) if is_plain(given) else range(len(given))
            if kept or apart:
                arguments = _with_copies(values, apart.union(plan.numbers[i] for i in kept))
                given = plan.take(arguments)
            self._here.given = given
            try:
                return called(outline, *arguments)
            except _Unfit as unfit:
                if unfit.lost:
                    self._without(outline, unfit.lost)
                apart.update(unfit.kept)
            except Exception as error:
                _say_what_is_lost(error, operands, plan)
                raise
            finally:
                self._here.given = None


def _taker(numbers: tuple[int, ...]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    if len(numbers) > 1:
        return itemgetter(*numbers)
    return lambda values: [values[number] for number in numbers]


def _with_copies(values: Sequence[Any], numbers: Collection[int]) -> list[Any]:
    """Return values, some of them as copies."""
    return [jax.tree.map(_copy, x) if i in numbers else x for i, x in enumerate(values)]


def _copy(x: Any) -> Any:
    # One that is gone makes JAX say so, as without donation.
    return copied(x) if isinstance(x, jax.Array) and not x.is_deleted() else x


def _say_what_is_lost(error: Exception, operands: Operands, plan: _Plan) -> None:
    """Add to an error which variables have lost their values, if it came while the program ran."""
    values = operands.groups[0]
    lost = [n for n in plan.numbers if is_plain([values[n]]) and values[n].is_deleted()]
    if not lost:
        return
    _, *path = operands.outline.paths()[lost[0]]
    where = "".join(f"[{key!r}]" if isinstance(key, int) else f".{key}" for key in path)
    error.add_note(
        f"The step failed while it ran, and had taken the memory of {len(lost)} variables (donate="
        f'"auto"), the first at args{where}. Their values are gone: restore them from a checkpoint.'
        ' A step with donate="named" keeps them.'
    )


def _replaced(inside: Inside, values: Sequence[Any]) -> tuple[int, ...]:
    """Return the numbers of the variables whose new value fits into the memory of the old one."""
    found = []
    for number, leaf in enumerate(inside.leaves(0)):
        if number not in inside.returned or not isinstance(leaf, Variable):
            continue
        old, new = values[number], leaf._raw_value
        if not isinstance(old, jax.Array) or not isinstance(new, jax.Array):
            continue
        is_key = jnp.issubdtype(old.dtype, jax.dtypes.extended)
        if not is_key and old.shape == new.shape and old.dtype == new.dtype:
            found.append(number)
    return tuple(found)
