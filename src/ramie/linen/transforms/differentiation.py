"""Differentiation inside of modules: of functions of a module, by arguments and by variables.

What they do to variables and random streams is documented at their namesakes in
`ramie.core.lift.differentiation`.
"""

from collections.abc import Callable
from typing import Any

from ramie.core.filters import Filter
from ramie.core.lift import differentiation as lift
from ramie.core.lift.crossing import count_roots
from ramie.core.tracing.arguments import all_positional
from ramie.linen.module import Module
from ramie.linen.transforms.boundary import Boundary, require_module

__all__ = ["custom_vjp", "grad", "jvp", "value_and_grad", "vjp"]


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
    boundary = Boundary(require_module(mdl, fn), primals, {})
    if not multi_scope and count_roots(boundary.scopes) > 1:
        raise ValueError(
            f"The module {type(mdl).__name__} holds modules from elsewhere in the tree, so the "
            "cotangents of its variables belong to several places. Pass multi_scope=True to get "
            "one dictionary for each."
        )
    y, pull_back, *aux = lift.vjp(
        boundary.inside(fn),
        boundary.scopes,
        *boundary.args,
        has_aux=has_aux,
        reduce_axes=reduce_axes,
        vjp_variables=vjp_variables,
        variables=variables,
        rngs=rngs,
    )
    boundary.finish()
    if boundary.has_opened:
        return y, lambda y_t: boundary.restored(pull_back(y_t)), *aux
    return y, pull_back, *aux


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
    boundary = Boundary(require_module(mdl, fn), primals, {})
    value, *aux, gradients = lift.value_and_grad(
        boundary.inside(fn),
        boundary.scopes,
        *boundary.args,
        has_aux=has_aux,
        reduce_axes=reduce_axes,
        variables=variables,
        rngs=rngs,
    )
    boundary.finish()
    return ((value, *aux) if aux else value), boundary.restored(gradients)


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
    boundary = Boundary(require_module(mdl, fn), tuple(primals), {})
    result = lift.jvp(
        boundary.inside(fn),
        boundary.scopes,
        boundary.args,
        tuple(tangents),
        variable_tangents,
        variables=variables,
        rngs=rngs,
    )
    boundary.finish()
    return result


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
      A function ``(mdl, *args)``; arguments may be given by keyword.
    """

    def with_derivative(mdl: Module, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            args = all_positional(fn, (mdl, *args), kwargs, "custom_vjp")[1:]
        boundary = Boundary(require_module(mdl, fn), args, {})
        inside = boundary.inside(fn), boundary.inside(forward_fn)
        derived = lift.custom_vjp(*inside, backward_fn, grad_vars, nondiff_argnums)
        y = derived(boundary.scopes, *boundary.args)
        boundary.finish()
        return y

    return with_derivative
