"""Control flow inside of modules: functions of a module, called at once.

What they do to variables and random streams is documented at their namesakes in
`ramie.core.lift.control_flow`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ramie.core.filters import Filter
from ramie.core.lift import control_flow as lift
from ramie.linen.module import Module
from ramie.linen.transforms.boundary import Boundary, require_module
from ramie.linen.transforms.kept import run_kept
from ramie.trees.frozen import FrozenDict

__all__ = ["cond", "switch", "while_loop"]

_NOTHING: FrozenDict[Any, Any] = FrozenDict({})


def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    mdl: Module,
    *operands: Any,
    variables: Filter = True,
    rngs: Filter = True,
) -> Any:
    """Lift `jax.lax.cond` to modules.

    Both functions have to leave equally structured variables behind; to make parameters for both,
    call both in `init`.

    Args:
      pred: a boolean.
      true_fun: called as ``true_fun(mdl, *operands)`` if `pred` is true.
      false_fun: called likewise if it is false.
      mdl: a module.
      *operands: arguments of the functions.
      variables: the collections that the functions may use.
      rngs: the random streams that the functions may use.

    Returns:
      What the chosen function returns.
    """
    boundary = Boundary(require_module(mdl, true_fun), operands, {})
    branches = boundary.inside(true_fun), boundary.inside(false_fun)

    def run(scopes: Any, pred: Any, *args: Any) -> Any:
        return lift.cond(pred, *branches, scopes, *args, variables=variables, rngs=rngs)

    made_of = lift.cond, true_fun, false_fun, variables, rngs
    return run_kept(boundary, run, made_of, (pred, *boundary.args), {})


def switch(
    index: Any,
    branches: Sequence[Callable[..., Any]],
    mdl: Module,
    *operands: Any,
    variables: Filter = True,
    rngs: Filter = True,
) -> Any:
    """Lift `jax.lax.switch` to modules.

    All functions have to leave equally structured variables behind; to make parameters for all,
    call all in `init`.

    Args:
      index: which branch to take, clamped to the existing ones.
      branches: called as ``branch(mdl, *operands)``.
      mdl: a module.
      *operands: arguments of the branches.
      variables: the collections that the branches may use.
      rngs: the random streams that the branches may use.

    Returns:
      What the chosen branch returns.
    """
    boundary = Boundary(require_module(mdl, branches), operands, {})
    inside = [boundary.inside(branch) for branch in branches]

    def run(scopes: Any, index: Any, *args: Any) -> Any:
        return lift.switch(index, inside, scopes, *args, variables=variables, rngs=rngs)

    made_of = lift.switch, *branches, variables, rngs
    return run_kept(boundary, run, made_of, (index, *boundary.args), {})


def while_loop(
    cond_fn: Callable[..., Any],
    body_fn: Callable[..., Any],
    mdl: Module,
    init: Any,
    carry_variables: Filter = False,
    broadcast_variables: Filter = True,
    split_rngs: Mapping[Any, bool] = _NOTHING,
) -> Any:
    """Lift `jax.lax.while_loop` to modules.

    Args:
      cond_fn: called as ``cond_fn(mdl, carry)``; the loop goes on while it returns true.
      body_fn: called as ``body_fn(mdl, carry)``; returns the next carry.
      mdl: a module.
      init: the first carry.
      carry_variables: the collections that each step hands on to the next; they have to exist.
      broadcast_variables: the collections that are only read.
      split_rngs: filters for random streams, each with whether the steps draw different numbers.

    Returns:
      The last carry.
    """
    boundary = Boundary(require_module(mdl, body_fn), (), {})
    goes_on, step = boundary.inside(cond_fn), boundary.inside(body_fn)

    def run(scopes: Any, init: Any) -> Any:
        return lift.while_loop(
            goes_on, step, scopes, init, carry_variables, broadcast_variables, split_rngs
        )

    made_of = lift.while_loop, cond_fn, body_fn, carry_variables, broadcast_variables, split_rngs
    return run_kept(boundary, run, made_of, (init,), {})
