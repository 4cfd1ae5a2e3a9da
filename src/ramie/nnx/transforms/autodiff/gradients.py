"""Derivatives of functions of modules and variables: grad, value_and_grad, vjp, jvp."""

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ramie.core.tracing.arguments import by_position
from ramie.nnx.modules.places import noting
from ramie.nnx.transforms.arguments.boundary import Boundary, refuse_bound_method
from ramie.nnx.transforms.arguments.operands import Operands
from ramie.nnx.transforms.arguments.structures import part_of
from ramie.nnx.transforms.autodiff.differentiable import (
    ArgNums,
    Selection,
    refuse_reduce_axes,
    roots_like,
    tangent_leaves,
)
from ramie.nnx.variable.base import Variable
from ramie.typing import MISSING

__all__ = ["grad", "jvp", "value_and_grad", "vjp"]


def _pair(out: Any, name: str) -> tuple[Any, Any]:
    """Return output and auxiliary output.

    Raises:
      TypeError: if there are not two.
    """
    if not isinstance(out, tuple | list) or len(out) != 2:
        raise TypeError(
            f"The function under nnx.{name} with has_aux=True must return a pair of its output "
            f"and something more, but returned {type(out).__name__}."
        )
    first, second = out
    return first, second


def _integer_at(operands: Operands, is_taken: Sequence[bool]) -> str | None:
    """Find the first leaf that cannot be differentiated, and say where it is and what."""
    for group, taken in enumerate(is_taken):
        pairs = zip(operands.paths(group), operands.groups[group], strict=True)
        for path, value in pairs if taken else ():
            if not jnp.issubdtype(jnp.result_type(value), jnp.inexact):
                where = "".join(f"[{key!r}]" for key in path[1:])
                return f"args{where} of dtype {jnp.result_type(value)}"
    return None


def value_and_grad(
    f: Any = MISSING,
    *,
    argnums: ArgNums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence[Hashable] = (),
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Make a function that returns the value of a loss and its gradient.

    Changes that the loss makes to its arguments, such as new statistics, reach them.

    Args:
      f: the loss: returns a scalar. Without it, a decorator is returned.
      argnums: the arguments to differentiate, as positions or `DiffState`; one, or several. The
        call may give them by keyword. By default of modules the Params are taken if structure may
        change; else all they hold.
      has_aux: whether the loss returns a pair, of which the second part is passed on.
      holomorphic: whether it is promised to be; input and output are complex then.
      allow_int: whether integers may be among what is differentiated; their gradient is trivial.
      reduce_axes: gone from JAX; leave it empty.
      graph: graph mode or tree mode; by default as `set_graph_mode` says.
      graph_updates: whether changes of structure reach the arguments, in graph mode; by default as
        `set_graph_updates` says.

    Returns:
      A function that returns ``(value, gradient)``, or ``((value, aux), gradient)``. The gradient
      of a module is a State if structure may change, else another module.

    Raises:
      ValueError: if `f` is a bound method, or `argnums` has what the mode excludes; on calls, if
        something shared is differentiated in one place only, or refused by the mode.
      TypeError: on calls, if the value is no scalar, or something cannot be differentiated.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> model = nnx.Dict(w=nnx.Param(jnp.array(3.0)))
        >>> value, grads = nnx.value_and_grad(lambda m, x: m.w**2 * x)(model, 2.0)
        >>> float(value), float(grads.w[...])
        (18.0, 12.0)
    """
    return _gradient(
        "value_and_grad",
        f,
        argnums=argnums,
        has_aux=has_aux,
        holomorphic=holomorphic,
        allow_int=allow_int,
        reduce_axes=reduce_axes,
        graph=graph,
        graph_updates=graph_updates,
    )


def grad(
    f: Any = MISSING,
    *,
    argnums: ArgNums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence[Hashable] = (),
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Make a function that returns the gradient of a loss; `value_and_grad` explains all of it.

    Args:
      f: the loss. Without it, a decorator is returned.
      argnums: see `value_and_grad`, as for all others.
      has_aux: ...
      holomorphic: ...
      allow_int: ...
      reduce_axes: ...
      graph: ...
      graph_updates: ...

    Returns:
      A function that returns the gradient, or ``(gradient, aux)``.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> @nnx.grad(argnums=(0, 1))
        ... def slopes(w, x):
        ...     return w**3 * x
        >>> [float(slope) for slope in slopes(2.0, 5.0)]
        [60.0, 8.0]
    """
    return _gradient(
        "grad",
        f,
        argnums=argnums,
        has_aux=has_aux,
        holomorphic=holomorphic,
        allow_int=allow_int,
        reduce_axes=reduce_axes,
        graph=graph,
        graph_updates=graph_updates,
    )


def _gradient(name: str, f: Any, **options: Any) -> Any:
    """Make a function for `grad` or `value_and_grad`."""
    if f is MISSING or f is type(MISSING):
        return functools.partial(_gradient, name, **options)
    refuse_bound_method(f, name)
    refuse_reduce_axes(options.pop("reduce_axes"), name)
    argnums, graph, graph_updates = (
        options.pop(key) for key in ("argnums", "graph", "graph_updates")
    )
    has_aux = options.pop("has_aux")
    selection = Selection(argnums, name, graph, graph_updates)

    @functools.wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = by_position(f, args, kwargs, selection.numbers)
        chosen = selection.among(len(args))
        operands = chosen.edge.take_apart((args, kwargs))

        @noting
        def pure(taken: Any, rest: Any) -> Any:
            inside = chosen.edge.enter(operands.outline, chosen.joined(taken, rest))
            own_args, own_kwargs = inside.tree
            out = f(*own_args, **own_kwargs)
            value, aux = _pair(out, name) if has_aux else (out, None)
            value = value.get_value() if isinstance(value, Variable) else value
            return value, inside.leave(aux)

        run = jax.value_and_grad(pure, has_aux=True, **options)
        try:
            (value, returned), grads = run(*chosen.dealt(operands.groups))
        except TypeError as error:
            found = None
            if "requires real- or complex-valued inputs" in str(error):
                found = _integer_at(operands, chosen.is_taken)
            if found is None:
                raise
            raise TypeError(
                f"{name} requires real- or complex-valued inputs, but got {found}. Select "
                "other parts with argnums or nnx.DiffState, or set allow_int=True."
            ) from None
        aux = operands.write_back(returned)
        gradient = selection.gradients(chosen, operands, grads)
        if name == "grad":
            return (gradient, aux) if has_aux else gradient
        return ((value, aux) if has_aux else value), gradient

    return differentiated


def _functional(name: str, graph: bool | None, graph_updates: bool | None) -> Boundary:
    """Return a boundary for `vjp` or `jvp`, which keep output and auxiliary output apart.

    Raises:
      NotImplementedError: if structure may change.
    """
    edge = Boundary(name, graph, graph_updates)
    if edge.mode.updates:
        raise NotImplementedError(
            f"nnx.{name} is not supported in graph mode with graph_updates, as it cannot carry "
            "changes of structure. Set graph_updates=False, or graph=False."
        )
    edge.set_prefixes(primals=None, out=(0, 1))
    return edge


def _pure(f: Any, edge: Boundary, operands: Operands, has_aux: bool) -> Callable[[Any], Any]:
    """Return a function of values with all but the differentiable output as auxiliary output."""

    @noting
    def pure(values: Any) -> Any:
        inside = edge.enter(operands.outline, (values,))
        out = f(*inside.tree)
        pair = _pair(out, edge.mode.name) if has_aux else (out, None)
        result, written, outputs, more = inside.leave(pair)
        return outputs, (result, written, more)

    return pure


def vjp(
    f: Any = MISSING,
    *primals: Any,
    has_aux: bool = False,
    reduce_axes: Sequence[Hashable] = (),
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Call a function, and return what pulls cotangents of its output back to its arguments.

    Changes that the function makes to values of variables in the arguments reach them.

    Args:
      f: the function. Without it, a decorator is returned, which makes a function of `primals`.
      *primals: the arguments.
      has_aux: whether the function returns a pair, of which the second part is passed on.
      reduce_axes: gone from JAX; leave it empty.
      graph: graph mode or tree mode; by default as `set_graph_mode` says.
      graph_updates: must be off in graph mode.

    Returns:
      ``(output, pull_back)`` or ``(output, pull_back, aux)``. The cotangent given to `pull_back`
      is a tree like the output; it returns a tuple of trees like the arguments.

    Raises:
      NotImplementedError: in graph mode with updates.
      ValueError: if `f` is a bound method, or something is shared in tree mode.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> model = nnx.Dict(w=nnx.Param(jnp.array(3.0)))
        >>> out, pull_back = nnx.vjp(lambda m, x: m.w * x, model, 2.0, graph=False)
        >>> m_grad, x_grad = pull_back(jnp.array(1.0))
        >>> float(out), float(m_grad.w[...]), float(x_grad)
        (6.0, 2.0, 3.0)
    """
    options = {"has_aux": has_aux, "reduce_axes": reduce_axes, "graph": graph}
    if f is MISSING:
        return functools.partial(_later, vjp, {**options, "graph_updates": graph_updates})
    edge = _functional("vjp", graph, graph_updates)
    refuse_bound_method(f, "vjp")
    refuse_reduce_axes(reduce_axes, "vjp")
    operands = edge.take_apart(primals)
    values, pull, (result, written, more) = jax.vjp(
        _pure(f, edge, operands, has_aux), operands.groups[0], has_aux=True
    )
    out, aux = operands.write_back((result, written, values, more))
    cotangents = Boundary("vjp", graph, False).take_apart(out)
    outline = operands.outline

    def pull_back(out_cotangent: Any) -> Any:
        """Return the cotangents of the arguments for one of the output."""
        roots = roots_like(cotangents.outline.treedef, out_cotangent, "cotangents")
        leaves = tangent_leaves(roots, cotangents.outline, "cotangents", cotangents.groups[0])
        (found,) = pull(leaves)
        return outline.tree(outline.roots(found))

    return (out, pull_back, aux) if has_aux else (out, pull_back)


def _later(transform: Any, options: dict[str, Any], f: Any) -> Any:
    """Make a function that passes its arguments on to `vjp` or `jvp`."""
    refuse_bound_method(f, transform.__name__)

    @functools.wraps(f)
    def transformed(*args: Any) -> Any:
        return transform(f, *args, **options)

    return transformed


def jvp(
    f: Any = MISSING,
    primals: Any = MISSING,
    tangents: Any = MISSING,
    *,
    has_aux: bool = False,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Call a function, and push tangents of its arguments forward to its output.

    Changes that the function makes to values of variables in the arguments reach them.

    Args:
      f: the function. Without it, a decorator is returned, which makes a function of `primals` and
        `tangents`.
      primals: a tuple of arguments.
      tangents: a tuple of trees like them.
      has_aux: whether the function returns a pair, of which the second part is passed on.
      graph: graph mode or tree mode; by default as `set_graph_mode` says.
      graph_updates: must be off in graph mode.

    Returns:
      ``(output, tangent)`` or ``(output, tangent, aux)``; the tangent is a tree like the output.

    Raises:
      NotImplementedError: in graph mode with updates.
      ValueError: if `f` is a bound method, or something is shared in tree mode.
      TypeError: if the tangents are no trees like the arguments.

    Example:
        >>> from ramie import nnx
        >>> out, slope = nnx.jvp(lambda x: x**3, (2.0,), (1.0,), graph=False)
        >>> float(out), float(slope)
        (8.0, 12.0)
    """
    options = {"has_aux": has_aux, "graph": graph, "graph_updates": graph_updates}
    if f is MISSING:
        return functools.partial(_later, jvp, options)
    if primals is MISSING or tangents is MISSING:
        made = _later(jvp, options, f)
        return made if primals is MISSING else functools.partial(made, primals)
    edge = _functional("jvp", graph, graph_updates)
    refuse_bound_method(f, "jvp")
    operands = edge.take_apart(tuple(primals))
    values = operands.groups[0]
    roots = roots_like(operands.outline.treedef, tuple(tangents), "tangents")
    found = tangent_leaves(roots, operands.outline, "tangents", values)
    outputs, moved, (result, written, more) = jax.jvp(
        _pure(f, edge, operands, has_aux), (values,), (found,), has_aux=True
    )
    out, aux = operands.write_back((result, written, outputs, more))
    leaves = result.outline.joined((moved, [None] * len(more)))
    tangent = part_of(result.outline.treedef, result.outline.roots(leaves), 0)
    return (out, tangent, aux) if has_aux else (out, tangent)
