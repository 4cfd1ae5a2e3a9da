"""Looking at functions of modules: shapes of what they return, their programs, their checks."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
from jax.experimental import checkify as jax_checkify

from ramie.core.tracing.arguments import by_position, from_start
from ramie.nnx.modules.places import noting
from ramie.nnx.modules.sharing import shared_call
from ramie.nnx.printing.text import short_text
from ramie.nnx.transforms.arguments.boundary import Boundary, refuse_bound_method
from ramie.nnx.transforms.arguments.checks import refuse_graph
from ramie.nnx.transforms.arguments.outline import Outline
from ramie.nnx.transforms.arguments.statics import with_statics, without_statics
from ramie.nnx.variable.cells import contents
from ramie.typing import MISSING

__all__ = ["checkify", "eval_shape", "make_jaxpr"]


def eval_shape(
    f: Callable[..., Any],
    *args: Any,
    graph: bool | None = None,
    graph_updates: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Find what a function returns, with `jax.ShapeDtypeStruct` in place of arrays.

    Nothing is computed, and nothing changes; so this makes models of any size.

    Args:
      f: the function.
      *args: its arguments: arrays, modules, or such with `jax.ShapeDtypeStruct` inside.
      graph: graph mode or tree mode; by default as `set_graph_mode` says.
      graph_updates: whether the function may return objects that were passed in, in graph mode; by
        default as `set_graph_updates` says.
      **kwargs: more arguments.

    Raises:
      ValueError: if `f` is a bound method, or something is shared that the mode refuses.

    Example:
        >>> from ramie import nnx
        >>> model = nnx.eval_shape(lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
        >>> model.kernel.get_value()
        ShapeDtypeStruct(shape=(2, 3), dtype=float32)
    """
    refuse_bound_method(f, "eval_shape")
    edge = Boundary("eval_shape", graph, graph_updates)
    operands = edge.take_apart((args, kwargs))
    if operands.outline.shared and not edge.mode.updates:
        refuse_graph((args, kwargs), edge.mode)

    @noting
    def pure(values: Any) -> Any:
        inside = edge.enter(operands.outline, (values,))
        own_args, own_kwargs = inside.tree
        result, *groups = inside.leave(shared_call(None, f, own_args, own_kwargs), complete=True)
        return result, *([contents(x) for x in group] for group in groups)

    pure.__name__ = getattr(f, "__name__", pure.__name__)
    return operands.only_output(jax.eval_shape(pure, operands.groups[0]))


def make_jaxpr(
    f: Any = MISSING,
    *,
    graph: bool | None = None,
    graph_updates: bool | None = None,
    static_argnums: int | Iterable[int] = (),
) -> Any:
    """Make a function that returns the program which JAX traces of another one.

    Changes that the other one makes to its arguments do not reach them.

    Args:
      f: the function. Without it, a decorator is returned.
      graph: graph mode or tree mode; by default as `set_graph_mode` says.
      graph_updates: must be off in graph mode.
      static_argnums: positions of arguments that stay as they are.

    Raises:
      ValueError: if `f` is a bound method, in graph mode with updates, or on calls, if something
        is shared that the mode refuses.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> jaxpr = nnx.make_jaxpr(lambda x: x[...] * 2, graph=False)(nnx.Param(jnp.ones(3)))
        >>> [str(equation.primitive) for equation in jaxpr.eqns]
        ['mul']
    """
    if f is MISSING:
        return functools.partial(
            make_jaxpr, graph=graph, graph_updates=graph_updates, static_argnums=static_argnums
        )
    edge = Boundary("make_jaxpr", graph, graph_updates)
    if edge.mode.updates:
        raise ValueError(
            "nnx.make_jaxpr does not support graph_updates=True. The program of "
            f"{short_text(f)} has no place for changes of structure; set graph_updates=False, or "
            "graph=False."
        )
    refuse_bound_method(f, "make_jaxpr")
    positions = from_start(f, static_argnums)

    @functools.wraps(f)
    def traced(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = by_position(f, args, kwargs, positions)
        rest, statics = without_statics(args, positions)
        operands = edge.take_apart((rest, kwargs))

        @noting
        def pure(values: Any) -> Any:
            inside = edge.enter(operands.outline, (values,))
            own_args, own_kwargs = inside.tree
            own_args = tuple(with_statics(own_args, statics))
            return inside.leave(shared_call(None, f, own_args, own_kwargs))[2]

        return jax.make_jaxpr(pure)(operands.groups[0])

    return traced


def checkify(
    f: Callable[..., Any],
    errors: frozenset[Any] = jax_checkify.user_checks,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Make a function that returns which of its checks failed along with its output.

    Changes that the function makes to its arguments reach them.

    Args:
      f: the function.
      errors: which kinds of checks, of `jax.experimental.checkify`.
      graph: graph mode or tree mode; by default as `set_graph_mode` says.
      graph_updates: whether changes of structure reach the arguments, in graph mode; by default as
        `set_graph_updates` says.

    Returns:
      A function that returns ``(error, output)``; ``error.throw()`` raises if there is one.

    Raises:
      ValueError: if `f` is a bound method; on calls, if something is shared that the mode refuses.

    Example:
        >>> from jax.experimental import checkify
        >>> from ramie import nnx
        >>> def f(x):
        ...     checkify.check(x > 0, "must be positive")
        ...     return x
        >>> error, out = nnx.checkify(f)(-1.0)
        >>> "must be positive" in error.get()
        True
    """
    refuse_bound_method(f, "checkify")
    edge = Boundary("checkify", graph, graph_updates)

    @noting
    def pure(outline: Outline, values: Any) -> Any:
        inside = edge.enter(outline, (values,))
        args, kwargs = inside.tree
        return inside.leave(f(*args, **kwargs))

    run = jax_checkify.checkify(pure, errors)

    @functools.wraps(f)
    def checked(*args: Any, **kwargs: Any) -> Any:
        operands = edge.take_apart((args, kwargs))
        error, returned = run(operands.outline, operands.groups[0])
        return error, operands.write_back(returned)

    return checked
