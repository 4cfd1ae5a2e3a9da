"""Lifted differentiation: of functions of a scope, by arguments and by variables."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import tree_flatten

from ramie.core.filters import Filter
from ramie.core.lift.crossing import Group, Lift, Scopes
from ramie.core.tracing.arguments import all_positional, positions
from ramie.trees.frozen import unfreeze

__all__ = ["custom_vjp", "jvp", "value_and_grad", "vjp"]

_LEAF = jax.tree_util.tree_structure(0)


def _refuse_reduce_axes(reduce_axes: Any) -> None:
    if reduce_axes:
        raise NotImplementedError(
            "JAX no longer has reduce_axes: sum over the axes yourself, with jax.lax.psum."
        )


def _with_aux(y: Any, has_aux: bool) -> tuple[Any, Any]:
    return y if has_aux else (y, None)


def _only_gradients(pullback: Callable[..., Any], y_t: Any) -> tuple[Any, ...]:
    group, *args = pullback(y_t)
    return (group[0] if len(group) == 1 else list(group)), *args


def _check_scalar(y: Any) -> None:
    shapes = [jnp.shape(leaf) for leaf in jax.tree_util.tree_leaves(y)]
    if shapes != [()]:
        raise ValueError(
            "Gradients are those of a function that returns one scalar; this one returned arrays "
            f"of shapes {shapes}. Sum or average, return the rest with has_aux=True, or use vjp."
        )


def vjp(
    fn: Callable[..., Any],
    scope: Scopes,
    *primals: Any,
    has_aux: bool = False,
    reduce_axes: Any = (),
    vjp_variables: Filter = "params",
    variables: Filter = True,
    rngs: Filter = True,
) -> Any:
    """Lift `jax.vjp` to functions of a scope.

    Args:
      fn: called as ``fn(scope, *primals)``; returns y or, with `has_aux`, a pair of y and more.
      scope: a scope or a pytree of scopes.
      *primals: arguments to differentiate by.
      has_aux: whether `fn` returns a pair.
      reduce_axes: no longer supported by JAX.
      vjp_variables: the collections to differentiate by as well.
      variables: the other collections that `fn` may use.
      rngs: the random streams that `fn` may use.

    Returns:
      y and a function from a cotangent of y to cotangents of the variables, by collection, and of
      each of the primals; with `has_aux` also what `fn` returned besides y.
    """
    _refuse_reduce_axes(reduce_axes)
    groups = (vjp_variables, variables)
    with Lift(groups, groups, (rngs,), "vjp").open(scope) as crossing:
        by, others = crossing.variables

        def inside(by: Group, *args: Any) -> Any:
            result, written = crossing.run(fn, (by, others), crossing.rngs, *args)
            y, aux = _with_aux(result, has_aux)
            return y, (aux, written)

        y, pullback, (aux, written) = jax.vjp(inside, by, *primals, has_aux=True)
        crossing.commit(written)
        gradients = jax.tree_util.Partial(_only_gradients, pullback)
        return (y, gradients, aux) if has_aux else (y, gradients)


def value_and_grad(
    fn: Callable[..., Any],
    scope: Scopes,
    *primals: Any,
    has_aux: bool = False,
    reduce_axes: Any = (),
    variables: Filter = True,
    rngs: Filter = True,
) -> Any:
    """Lift `jax.value_and_grad` to functions of a scope; gradients are those by the arguments.

    Args:
      fn: called as ``fn(scope, *primals)``; returns a scalar or, with `has_aux`, a pair of a
        scalar and more.
      scope: a scope or a pytree of scopes.
      *primals: arguments to differentiate by.
      has_aux: whether `fn` returns a pair.
      reduce_axes: no longer supported by JAX.
      variables: the collections that `fn` may use.
      rngs: the random streams that `fn` may use.

    Returns:
      The value and a tuple of gradients; with `has_aux` the value, the rest and the gradients.

    Raises:
      ValueError: if the function returns something else than a scalar.
    """
    _refuse_reduce_axes(reduce_axes)
    with Lift((variables,), (variables,), (rngs,), "value_and_grad").open(scope) as crossing:

        def inside(*args: Any) -> Any:
            result, written = crossing.run(fn, crossing.variables, crossing.rngs, *args)
            y, aux = _with_aux(result, has_aux)
            return y, (aux, written)

        y, pullback, (aux, written) = jax.vjp(inside, *primals, has_aux=True)
        _check_scalar(y)
        crossing.commit(written)
        gradients = pullback(jax.tree.map(jnp.ones_like, y))
        return (y, aux, gradients) if has_aux else (y, gradients)


def jvp(
    fn: Callable[..., Any],
    scope: Scopes,
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    variable_tangents: Any,
    variables: Filter = True,
    rngs: Filter = True,
) -> tuple[Any, Any]:
    """Lift `jax.jvp` to functions of a scope.

    Args:
      fn: called as ``fn(scope, *primals)``.
      scope: a scope or a pytree of scopes.
      primals: the arguments.
      tangents: the tangents of the arguments.
      variable_tangents: tangents of variables, by collection; for several scopes a sequence of
        such dictionaries. Collections without tangents have the tangent zero.
      variables: the other collections that `fn` may use.
      rngs: the random streams that `fn` may use.

    Returns:
      The result and its tangent.

    Raises:
      TypeError: if the tangents of a collection are structured unlike its variables.
    """
    by_scope = (variable_tangents,) if isinstance(variable_tangents, Mapping) else variable_tangents
    named = {col for collections in by_scope for col, part in collections.items() if part}
    groups = (named, variables)
    with Lift(groups, groups, (rngs,), "jvp").open(scope) as crossing:
        by, others = crossing.variables
        variable_ts = tuple(
            {col: _tangents_like(col, part, given.get(col)) for col, part in collections.items()}
            for collections, given in zip(by, by_scope, strict=True)
        )

        def inside(by: Group, args: tuple[Any, ...]) -> Any:
            return crossing.run(fn, (by, others), crossing.rngs, *args)

        y, y_t, written = jax.jvp(
            inside, (by, tuple(primals)), (variable_ts, tuple(tangents)), has_aux=True
        )
        crossing.commit(written)
        return y, y_t


def _tangents_like(col: str, part: Any, tangents: Any) -> Any:
    given = unfreeze(tangents) if tangents is not None else {}
    wanted: Any = jax.tree_util.tree_structure(unfreeze(part))
    leaves, found = jax.tree_util.tree_flatten(given)
    if wanted != found:
        raise TypeError(
            f"The variable_tangents of collection {col!r} have the structure {found}, but the "
            f"variables have {wanted}. Give one tangent for each variable."
        )
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(part), leaves)


def custom_vjp(
    fn: Callable[..., Any],
    forward_fn: Callable[..., Any],
    backward_fn: Callable[..., Any],
    grad_vars: Filter = "params",
    nondiff_argnums: Any = (),
) -> Callable[..., Any]:
    """Lift `jax.custom_vjp` to functions of a scope: a function with a derivative of its own.

    Args:
      fn: called as ``fn(scope, *args)`` where no derivative is taken.
      forward_fn: called as ``forward_fn(scope, *args)``; returns the result and residuals.
      backward_fn: called as ``backward_fn(*nondiff_args, residuals, y_t)``; returns cotangents of
        the variables, by collection, and of each differentiable argument.
      grad_vars: the collections that `backward_fn` returns cotangents of; those of all others are
        zero.
      nondiff_argnums: the positions of arguments that are not differentiated by; the scope has
        position 0.

    Returns:
      A function ``(scope, *args)``; arguments may be given by keyword.
    """
    groups = (grad_vars, True)
    lift = Lift(groups, groups, (True,), "custom_vjp")

    def with_derivative(scopes: Scopes, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            args = all_positional(fn, (scopes, *args), kwargs, "custom_vjp")[1:]
        # JAX fills what it is given with objects of its own, which a class of the user may refuse.
        # So it gets lists of leaves in place of trees.
        fixed = {i - 1 for i in positions(nondiff_argnums, 1 + len(args)) if i > 0}
        opened: list[Any] = [
            (x, None) if i in fixed else tree_flatten(x) for i, x in enumerate(args)
        ]
        structures = [structure for _, structure in opened]
        with lift.open(scopes) as crossing:
            by_structure: Any
            other_structure: Any
            by, by_structure = tree_flatten(crossing.variables[0])
            others, other_structure = tree_flatten(crossing.variables[1])

            def run(fn: Callable[..., Any], by: Any, others: Any, rngs: Any, *args: Any) -> Any:
                variables = by_structure.unflatten(by), other_structure.unflatten(others)
                whole = (
                    x if structure is None else structure.unflatten(x)
                    for x, structure in zip(args, structures, strict=True)
                )
                return crossing.run(fn, variables, rngs, *whole)

            def forward(*given: Any) -> Any:
                (y, residuals), written = run(forward_fn, *given)
                return (y, written), residuals

            def backward(*given: Any) -> Any:
                *nondiff, residuals, (y_t, _) = given
                variables_t, *args_t = backward_fn(*nondiff, residuals, y_t)
                by_t = (variables_t,) if len(crossing.roots) == 1 else tuple(variables_t)
                wanted = [x for x in structures if x is not None]
                if len(args_t) != len(wanted):
                    raise TypeError(
                        f"The function backward_fn has to return cotangents of the variables and "
                        f"of each of the {len(wanted)} differentiable arguments, but returned "
                        f"{1 + len(args_t)} values."
                    )
                of_args = map(_flat_cotangents, wanted, args_t)
                # None is a zero of any structure.
                return _flat_cotangents(by_structure, by_t), None, None, *of_args

            derived = jax.custom_vjp(
                functools.partial(run, fn), nondiff_argnums=tuple(sorted(i + 3 for i in fixed))
            )
            derived.defvjp(forward, backward)
            y, written = derived(by, others, crossing.rngs, *(x for x, _ in opened))
            crossing.commit(written)
            return y

    return with_derivative


def _flat_cotangents(structure: Any, cotangents: Any) -> list[Any]:
    """Return a cotangent, or None for zero, for each leaf of a structure.

    Raises:
      TypeError: if the cotangents are structured otherwise; None may stand for a part of them.
    """
    if cotangents is None:
        return [None] * int(structure.num_leaves)
    if structure == _LEAF:
        return [cotangents]
    outer: Any
    found, outer = tree_flatten(cotangents, is_leaf=lambda x: x is not cotangents)
    if outer.node_data() != structure.node_data() or len(found) != len(structure.children()):
        raise TypeError(
            "The function backward_fn returned cotangents of another structure than their "
            f"arguments or variables have: it returned {outer}, expected is {structure}."
        )
    parts = map(_flat_cotangents, structure.children(), found)
    return [leaf for part in parts for leaf in part]
