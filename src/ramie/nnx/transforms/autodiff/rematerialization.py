"""remat: recompute in the backward pass what a function computed, in place of keeping it."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from ramie.core.tracing.arguments import by_position, from_start
from ramie.nnx.modules.places import noting
from ramie.nnx.transforms.arguments.boundary import Boundary, refuse_bound_method
from ramie.nnx.transforms.arguments.outline import Outline
from ramie.nnx.transforms.arguments.statics import with_statics, without_statics
from ramie.typing import MISSING

__all__ = ["checkpoint", "remat"]


def remat(
    f: Any = MISSING,
    *,
    prevent_cse: bool = True,
    static_argnums: int | tuple[int, ...] = (),
    policy: Callable[..., bool] | None = None,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Make a function whose intermediate values are recomputed when gradients are taken of it.

    Takes less memory and more time. Changes that the function makes to its arguments reach them.

    Args:
      f: the function. Without it, a decorator is returned.
      prevent_cse: keep the compiler from joining both computations again; needless inside of
        `scan`.
      static_argnums: positions of arguments that stay as they are, such as switches; hashable.
      policy: which intermediate values to keep, of `jax.checkpoint_policies`.
      graph: graph mode or tree mode; by default as `set_graph_mode` says.
      graph_updates: whether changes of structure reach the arguments, in graph mode; by default as
        `set_graph_updates` says.

    Raises:
      ValueError: if `f` is a bound method; on calls, if something is shared that the mode refuses.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> class Block(nnx.Module):
        ...     def __init__(self):
        ...         self.w = nnx.Param(jnp.array(2.0))
        ...     @nnx.remat
        ...     def __call__(self, x):
        ...         return jnp.sin(self.w * x)
        >>> grads = nnx.grad(lambda block: block(0.0))(Block())
        >>> float(grads.w[...])
        0.0
    """
    if f is MISSING:
        return functools.partial(
            remat,
            prevent_cse=prevent_cse,
            static_argnums=static_argnums,
            policy=policy,
            graph=graph,
            graph_updates=graph_updates,
        )
    refuse_bound_method(f, "remat")
    edge = Boundary("remat", graph, graph_updates)
    positions = from_start(f, static_argnums)

    @noting
    def pure(outline: Outline, values: Any) -> Any:
        inside = edge.enter(outline, (values,))
        args, kwargs = inside.tree
        statics: Any = outline.note
        return inside.leave(f(*with_statics(args, statics), **kwargs))

    run = jax.checkpoint(pure, prevent_cse=prevent_cse, policy=policy)

    @functools.wraps(f)
    def rematerialized(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = by_position(f, args, kwargs, positions)
        rest, statics = without_statics(args, positions)
        operands = edge.take_apart((rest, kwargs), statics)
        return operands.write_back(run(operands.outline, operands.groups[0]))

    return rematerialized


checkpoint = remat
"""The other name of `remat`, as `jax.checkpoint` is that of `jax.remat`."""
