"""Control flow and differentiation inside of modules: functions of a module, called at once.

What they do to variables and random streams is documented at their namesakes in `ramie.core.lift`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ramie.core import lift
from ramie.core.filters import Filter
from ramie.core.lift.crossing import count_roots
from ramie.linen.module import Module
from ramie.linen.transforms.boundary import (
    Boundary,
    as_module_function,
    checked_output,
    require_module,
)
from ramie.trees.frozen import FrozenDict

__all__ = ["cond", "custom_vjp", "grad", "jvp", "switch", "value_and_grad", "vjp", "while_loop"]

_NOTHING: FrozenDict[Any, Any] = FrozenDict({})


class _Call:
    """A module and the arguments of functions of it, about to be lifted."""

    def __init__(self, fn: Any, mdl: Any, args: Sequence[Any]) -> None:
        self._boundary = Boundary(require_module(mdl, fn), tuple(args), {})
        self.scopes = self._boundary.scopes
        self.args = self._boundary.args

    def inside(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Turn a function of the module into one of the scopes."""
        method = as_module_function(fn)

        def run(scopes: Any, *args: Any) -> Any:
            inner, args, _ = self._boundary.enter(scopes, None, args, {})
            y = checked_output(method(inner, *args), method)
            self._boundary.reached(inner)
            return y

        return run

    def done(self, y: Any) -> Any:
        """Return the result, when the lifted call is over."""
        self._boundary.finish()
        return y


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
    call = _Call(true_fun, mdl, operands)
    branches = call.inside(true_fun), call.inside(false_fun)
    y = lift.cond(pred, *branches, call.scopes, *call.args, variables=variables, rngs=rngs)
    return call.done(y)


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
    call = _Call(branches, mdl, operands)
    inside = [call.inside(branch) for branch in branches]
    y = lift.switch(index, inside, call.scopes, *call.args, variables=variables, rngs=rngs)
    return call.done(y)


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
    call = _Call(body_fn, mdl, ())
    y = lift.while_loop(
        call.inside(cond_fn),
        call.inside(body_fn),
        call.scopes,
        init,
        carry_variables,
        broadcast_variables,
        split_rngs,
    )
    return call.done(y)


def vjp(
    fn: Callable[..., Any],
    mdl: Module,
    *primals: Any,
    has_aux: bool = False,
    reduce_axes: Any = (),
    vjp_variables: Filter = "params",
    variables: Filter = True,
    rngs: Filter = True,
    multi_scope: bool = False,
) -> Any:
    """Lift `jax.vjp` to modules.

    Args:
      fn: called as ``fn(mdl, *primals)``; returns y or, with `has_aux`, a pair of y and more.
      mdl: a module.
      *primals: arguments to differentiate by.
      has_aux: whether `fn` returns a pair.
      reduce_axes: no longer supported by JAX.
      vjp_variables: the collections to differentiate by as well.
      variables: the other collections that `fn` may use.
      rngs: the random streams that `fn` may use.
      multi_scope: allow `mdl` to hold modules from elsewhere in the tree; the cotangents of
        variables are then a list, one entry for each such place.

    Returns:
      y and a function from a cotangent of y to cotangents of the variables, by collection, and of
      each of the primals; with `has_aux` also what `fn` returned besides y.

    Raises:
      ValueError: if `mdl` holds modules from elsewhere and `multi_scope` is False.

    Example:
      >>> import jax, jax.numpy as jnp, ramie.linen as nn
      >>> class Sensitivity(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         y, backward = nn.vjp(lambda mdl, x: mdl(x), nn.Dense(1), x)
      ...         of_params, of_x = backward(jnp.ones_like(y))
      ...         return of_x
      >>> y, _ = Sensitivity().init_with_output(jax.random.key(0), jnp.ones((1, 2)))
      >>> y.shape
      (1, 2)
    """
    call = _Call(fn, mdl, primals)
    if not multi_scope and count_roots(call.scopes) > 1:
        raise ValueError(
            f"The module {type(mdl).__name__} holds modules from elsewhere in the tree, so the "
            "cotangents of its variables belong to several places. Pass multi_scope=True to get "
            "one dictionary for each."
        )
    result = lift.vjp(
        call.inside(fn),
        call.scopes,
        *call.args,
        has_aux=has_aux,
        reduce_axes=reduce_axes,
        vjp_variables=vjp_variables,
        variables=variables,
        rngs=rngs,
    )
    return call.done(result)


def value_and_grad(
    fn: Callable[..., Any],
    mdl: Module,
    *primals: Any,
    has_aux: bool = False,
    reduce_axes: Any = (),
    variables: Filter = True,
    rngs: Filter = True,
) -> Any:
    """Lift `jax.value_and_grad` to modules; gradients are those by the arguments.

    Args:
      fn: called as ``fn(mdl, *primals)``; returns a scalar or, with `has_aux`, a pair of a scalar
        and more.
      mdl: a module.
      *primals: arguments to differentiate by.
      has_aux: whether `fn` returns a pair.
      reduce_axes: no longer supported by JAX.
      variables: the collections that `fn` may use.
      rngs: the random streams that `fn` may use.

    Returns:
      What `fn` returned, and a tuple of gradients.
    """
    call = _Call(fn, mdl, primals)
    value, *aux, gradients = lift.value_and_grad(
        call.inside(fn),
        call.scopes,
        *call.args,
        has_aux=has_aux,
        reduce_axes=reduce_axes,
        variables=variables,
        rngs=rngs,
    )
    return call.done(((value, *aux) if aux else value, gradients))


def grad(
    fn: Callable[..., Any],
    mdl: Module,
    *primals: Any,
    has_aux: bool = False,
    reduce_axes: Any = (),
    variables: Filter = True,
    rngs: Filter = True,
) -> Any:
    """Lift `jax.grad` to modules; gradients are those by the arguments.

    Args:
      fn: see `value_and_grad`.
      mdl: see `value_and_grad`.
      *primals: see `value_and_grad`.
      has_aux: see `value_and_grad`.
      reduce_axes: see `value_and_grad`.
      variables: see `value_and_grad`.
      rngs: see `value_and_grad`.

    Returns:
      A tuple of gradients; with `has_aux` a pair of it and what `fn` returned besides the scalar.
    """
    value, gradients = value_and_grad(
        fn,
        mdl,
        *primals,
        has_aux=has_aux,
        reduce_axes=reduce_axes,
        variables=variables,
        rngs=rngs,
    )
    return (gradients, value[1]) if has_aux else gradients


def jvp(
    fn: Callable[..., Any],
    mdl: Module,
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    variable_tangents: Any,
    variables: Filter = True,
    rngs: Filter = True,
) -> tuple[Any, Any]:
    """Lift `jax.jvp` to modules.

    Args:
      fn: called as ``fn(mdl, *primals)``.
      mdl: a module.
      primals: the arguments.
      tangents: the tangents of the arguments.
      variable_tangents: tangents of variables, by collection; collections that are not named have
        the tangent zero.
      variables: the other collections that `fn` may use.
      rngs: the random streams that `fn` may use.

    Returns:
      The result and its tangent.
    """
    call = _Call(fn, mdl, primals)
    result = lift.jvp(
        call.inside(fn),
        call.scopes,
        call.args,
        tuple(tangents),
        variable_tangents,
        variables=variables,
        rngs=rngs,
    )
    return call.done(result)


def custom_vjp(
    fn: Callable[..., Any],
    forward_fn: Callable[..., Any],
    backward_fn: Callable[..., Any],
    grad_vars: Filter = "params",
    nondiff_argnums: Any = (),
) -> Callable[..., Any]:
    """Lift `jax.custom_vjp` to modules: a function with a derivative of its own.

    Args:
      fn: called as ``fn(mdl, *args)`` where no derivative is taken.
      forward_fn: called as ``forward_fn(mdl, *args)``; returns the result and residuals.
      backward_fn: called as ``backward_fn(*nondiff_args, residuals, y_t)``; returns cotangents of
        the variables, by collection, and of each differentiable argument.
      grad_vars: the collections that `backward_fn` returns cotangents of.
      nondiff_argnums: the positions of arguments that are not differentiated by; the module has
        position 0.

    Returns:
      A function ``(mdl, *args)``.
    """

    def with_derivative(mdl: Module, *args: Any) -> Any:
        call = _Call(fn, mdl, args)
        derived = lift.custom_vjp(
            call.inside(fn), call.inside(forward_fn), backward_fn, grad_vars, nondiff_argnums
        )
        return call.done(derived(call.scopes, *call.args))

    return with_derivative
