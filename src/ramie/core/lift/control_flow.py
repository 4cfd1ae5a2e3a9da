"""Lifted control flow: cond, switch and while loops over functions of a scope."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ramie.core.filters import Filter
from ramie.core.lift.crossing import Group, Lift, Scopes, check_carried, merged, tree_map_rngs
from ramie.trees.frozen import FrozenDict

__all__ = ["cond", "switch", "while_loop"]

_NOTHING: FrozenDict[Any, Any] = FrozenDict({})


def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    scope: Scopes,
    *operands: Any,
    variables: Filter = True,
    rngs: Filter = True,
) -> Any:
    """Lift `jax.lax.cond` to functions of a scope.

    Both functions have to leave equally structured variables behind, so what one of them makes the
    other has to make too, or it has to exist before.

    Args:
      pred: a boolean.
      true_fun: called as ``true_fun(scope, *operands)`` if `pred` is true.
      false_fun: called likewise if it is false.
      scope: a scope or a pytree of scopes.
      *operands: arguments of the functions.
      variables: the collections that the functions may use.
      rngs: the random streams that the functions may use.

    Returns:
      What the chosen function returns.
    """
    branches = (true_fun, false_fun)
    return _choose(
        "cond",
        branches,
        scope,
        operands,
        variables,
        rngs,
        lambda fns, *values: lax.cond(pred, *fns, *values),
    )


def switch(
    index: Any,
    branches: Sequence[Callable[..., Any]],
    scope: Scopes,
    *operands: Any,
    variables: Filter = True,
    rngs: Filter = True,
) -> Any:
    """Lift `jax.lax.switch` to functions of a scope.

    All functions have to leave equally structured variables behind.

    Args:
      index: which branch to take, clamped to the existing ones.
      branches: called as ``branch(scope, *operands)``.
      scope: a scope or a pytree of scopes.
      *operands: arguments of the branches.
      variables: the collections that the branches may use.
      rngs: the random streams that the branches may use.

    Returns:
      What the chosen branch returns.
    """
    return _choose(
        "switch",
        branches,
        scope,
        operands,
        variables,
        rngs,
        lambda fns, *values: lax.switch(index, fns, *values),
    )


def _choose(
    name: str,
    branches: Sequence[Callable[..., Any]],
    scopes: Scopes,
    operands: tuple[Any, ...],
    variables: Filter,
    rngs: Filter,
    choose: Callable[..., Any],
) -> Any:
    lift = Lift((variables,), (variables,), (rngs,), name)
    with lift.open(scopes) as crossing:

        def inside(fn: Callable[..., Any]) -> Callable[..., Any]:
            def branch(variables: Any, operands: Any) -> Any:
                return crossing.run(fn, variables, crossing.rngs, *operands)

            return branch

        try:
            y, written = choose([inside(fn) for fn in branches], crossing.variables, operands)
        except TypeError as error:
            if "branch" in str(error):  # JAX compares what the branches return, variables included
                error.add_note(
                    f"The branches of {name} have to leave the same variables behind, too. Create "
                    "them before: call every branch once while the module is_initializing()."
                )
            raise
        crossing.commit(written)
        return y


def while_loop(
    cond_fn: Callable[..., Any],
    body_fn: Callable[..., Any],
    scope: Scopes,
    init: Any,
    carry_variables: Filter = False,
    broadcast_variables: Filter = True,
    split_rngs: Mapping[Any, bool] = _NOTHING,
) -> Any:
    """Lift `jax.lax.while_loop` to functions of a scope.

    Args:
      cond_fn: called as ``cond_fn(scope, carry)``; the loop goes on while it returns true. It may
        write nothing.
      body_fn: called as ``body_fn(scope, carry)``; returns the next carry.
      scope: a scope or a pytree of scopes.
      init: the first carry.
      carry_variables: the collections that each step hands on to the next; they have to exist.
      broadcast_variables: the collections that are only read.
      split_rngs: filters for random streams, each with whether the steps draw different numbers.

    Returns:
      The last carry.

    Raises:
      TypeError: if the carry, or the variables that are carried, change type or structure.
    """
    reads = (carry_variables, broadcast_variables)
    streams = tuple(split_rngs)
    looping = Lift(reads, (carry_variables,), streams, "while_loop")
    asking = Lift(reads, (), streams, "while_loop")
    with looping.open(scope) as crossing, asking.open(scope) as question:
        carried, fixed = crossing.split_mutable(crossing.variables[0])

        def at_step(number: Any) -> tuple[Group, ...]:
            return tuple(
                tree_map_rngs(lambda key: jax.random.fold_in(key, number), group)
                if split
                else group
                for group, split in zip(crossing.rngs, split_rngs.values(), strict=True)
            )

        def goes_on(state: Any) -> Any:
            number, variables, carry = state
            groups = (merged(variables, fixed), crossing.variables[1])
            return question.run(cond_fn, groups, at_step(number), carry)[0]

        def step(state: Any) -> Any:
            number, variables, carry = state
            groups = (merged(variables, fixed), crossing.variables[1])
            carry, (written,) = crossing.run(body_fn, groups, at_step(number), carry)
            check_carried(carried, written)
            return number + 1, written, carry

        _, written, carry = lax.while_loop(goes_on, step, (jnp.int32(0), carried, init))
        crossing.commit((written,))
        return carry
