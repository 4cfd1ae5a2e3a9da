"""vmap: one function over many values at once, modules among them."""

import functools
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import jax

from ramie.core.tracing.arguments import all_positional
from ramie.nnx.modules.places import noting
from ramie.nnx.transforms.arguments.boundary import Boundary, refuse_bound_method
from ramie.nnx.transforms.arguments.operands import Operands
from ramie.nnx.transforms.arguments.outline import Result
from ramie.nnx.transforms.arguments.prefixes import Prefixes
from ramie.nnx.transforms.iteration.axes import (
    AxisMetadata,
    axis_length,
    check_count,
    is_axis,
)
from ramie.typing import MISSING

__all__ = ["vmap"]


def vmap(
    f: Any = MISSING,
    *,
    in_axes: int | Sequence[Any] | None = 0,
    out_axes: Any = 0,
    axis_name: Hashable | None = None,
    axis_size: int | None = None,
    spmd_axis_name: Hashable | tuple[Hashable, ...] | None = None,
    transform_metadata: Mapping[str, Any] = {},
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Vectorize a function over axes of its arguments, as `jax.vmap` does, modules included.

    What the function changes in modules changes in those of the caller: values of variables along
    the axis they came in by. A variable with the axis None may only get a value that is the same
    for all.

    Args:
      f: the function; without it, a decorator is returned. It may be a method, or ``__init__``.
      in_axes: axes of the positional arguments: a number, None, or a tuple of these and of trees
        of these, which count for all that is below. In graph mode with updates a `StateAxes` gives
        axes by filter; else `nnx.prefix` does. Arguments by name go along axis 0, unless a tuple
        has places for them.
      out_axes: axes of the output, likewise.
      axis_name: the name of the axis, for collectives.
      axis_size: the size of the axis, needed if no argument has it.
      spmd_axis_name: mesh axes for the axis, as in JAX.
      transform_metadata: what variables with an axis are told of it; see `nnx.spmd.add_axis`.
      graph: whether arguments may share nodes; by default as `set_graph_mode` says. False treats
        modules as plain trees.
      graph_updates: whether structure may change, and outputs may be objects that were passed in;
        by default as `set_graph_updates` says.

    Returns:
      The vectorized function.

    Raises:
      TypeError: if the axes are no axes.
      ValueError: if axes do not fit, or differ for a variable that occurs twice; for bound methods.

    Differs from Flax: `transform_metadata`, and places for arguments by name, count in all modes.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> @nnx.split_rngs(splits=4)
        ... @nnx.vmap
        ... def create(rngs):
        ...     return nnx.Linear(2, 3, rngs=rngs)
        >>> layers = create(nnx.Rngs(0))
        >>> layers.kernel.shape
        (4, 2, 3)
        >>> nnx.vmap(lambda layer, x: layer(x), in_axes=(0, None))(layers, jnp.ones(2)).shape
        (4, 3)
    """
    if f is MISSING:
        return functools.partial(
            vmap,
            in_axes=in_axes,
            out_axes=out_axes,
            axis_name=axis_name,
            axis_size=axis_size,
            spmd_axis_name=spmd_axis_name,
            transform_metadata=transform_metadata,
            graph=graph,
            graph_updates=graph_updates,
        )
    refuse_bound_method(f, "vmap")
    edge = Boundary("vmap", graph, graph_updates)
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    everywhere = is_axis(in_axes) and in_axes == 0
    edge.set_prefixes(in_axes=0 if everywhere else (in_axes, 0), out_axes=out_axes)
    _check_axes(edge.inputs, in_axes)
    _check_axes(edge.outputs, out_axes)
    told = AxisMetadata(edge, transform_metadata)

    @functools.wraps(f)
    def vectorized(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            args, kwargs = all_positional(f, args, kwargs, "nnx.vmap"), {}
            check_count(args, in_axes, "vmap")
        operands = edge.take_apart((args, kwargs))
        length = axis_length(operands, edge.inputs, "vmap")
        if length is None and axis_size is None:
            raise ValueError(
                "vmap must have at least one non-None value in in_axes or axis_size must be "
                f"specified: with {in_axes=} no argument has an axis to go along."
            )
        if axis_size is not None and length not in (None, axis_size):
            raise ValueError(
                f"nnx.vmap got axis_size={axis_size}, but the axes in `in_axes` have size {length}."
            )
        results: list[Result] = []

        @noting
        def pure(outline: Any, *groups: Any) -> Any:
            inside = edge.enter(outline, groups)
            told.enter(inside)
            its_args, its_kwargs = inside.tree
            out = f(*its_args, **its_kwargs)
            told.leave(inside, out)
            returned = inside.leave(out)
            results.append(returned[0])
            return returned

        mapped = jax.vmap(
            pure,
            in_axes=(None, *edge.inputs.values),
            out_axes=(None, *edge.inputs.values, *edge.outputs.values),
            axis_name=axis_name,
            axis_size=axis_size,
            spmd_axis_name=spmd_axis_name,
        )
        try:
            returned = mapped(operands.outline, *operands.groups)
        except ValueError as error:
            explained = _explained(error, edge, operands, results)
            if explained is None:
                raise
            raise explained from None
        return operands.write_back(returned)

    return vectorized


def _check_axes(prefixes: Prefixes, tree: Any) -> None:
    if all(axis is None or is_axis(axis) for axis in prefixes.values):
        return
    raise TypeError(
        f"vmap {prefixes.name} must be an int, None, or a tuple of entries corresponding to the "
        f"positional arguments, or (nested) containers with these as leaves, but got {tree!r}."
    )


_BATCHED = re.compile(
    r"\[(\d+)\]\[(\d+)\].*got axis spec None but output was batched on axis (\d+)"
)


def _explained(
    error: ValueError, edge: Boundary, operands: Operands, results: list[Result]
) -> ValueError | None:
    """Say which variable has another value for each place along the axis, but the axis None."""
    found = _BATCHED.search(str(error))
    if found is None or not results:
        return None
    group, number, axis = (int(text) for text in found.groups())
    group -= 1
    result = results[-1]
    count = len(edge.inputs.values)
    outline = operands.outline if group < count else result.outline
    if result.linked is not None:
        paths = result.linked.graphdef.paths
        takes = zip(paths, result.linked.takes, strict=True)
        path = [path for path, take in takes if take == group][number][1:]
    elif group < count:
        written = [leaf for leaf in result.written if outline.place(leaf) == group]
        path = outline.paths()[written[number]][2:]
    else:
        path = outline.of_group(group - count, outline.paths())[number]
    whose = "an argument" if group < count else "the output"
    where = "".join(f"[{key!r}]" for key in path)
    return ValueError(
        f"at vmap, {f'the value at {where} of {whose}' if where else whose} got axis spec None but "
        f"output was batched on axis {axis}: it depends on values along the axis, so it is not one "
        "value but several. Give it an axis, or do not change it in the function."
    )
