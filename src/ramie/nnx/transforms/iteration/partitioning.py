"""transform_metadata: names of axes in the metadata of variables, under transformations of JAX."""

import functools
from typing import Any

from ramie.core.meta import PARTITION_NAME
from ramie.nnx.graph.walk import has_identity
from ramie.nnx.sharding.axes import add_axis, remove_axis
from ramie.nnx.transforms.arguments.boundary import Boundary, refuse_bound_method
from ramie.nnx.transforms.arguments.checks import met
from ramie.nnx.transforms.arguments.prefixes import check_same_prefixes
from ramie.nnx.transforms.iteration.axes import is_axis, variables_with_axes
from ramie.nnx.variable.base import Variable
from ramie.typing import MISSING

__all__ = ["transform_metadata"]


def transform_metadata(
    f: Any = MISSING,
    *,
    in_axes: Any = 0,
    out_axes: Any = 0,
    partition: str | None,
    graph: bool | None = None,
) -> Any:
    """Hide the name of an axis from a function that runs under `vmap` or `scan` over that axis.

    The names in `out_sharding` of the arguments lose that of the axis while the function runs, and
    get it back; those of what it returns get it, too. Put it between the transformation and the
    function, with the same axes.

    Args:
      f: the function; without it, a decorator is returned.
      in_axes: axes of the positional arguments, as for `vmap` and `scan`.
      out_axes: axes of the output.
      partition: the name of the axis; it may be None.
      graph: whether arguments may share nodes; by default as `set_graph_mode` says.

    Returns:
      The function.

    Raises:
      ValueError: if names do not fit; if a variable occurs twice with different axes.

    Differs from Flax: arguments may be returned, if they keep their axis.

    Example:
        >>> import jax
        >>> from ramie import nnx
        >>> init = nnx.with_metadata(jax.numpy.zeros, out_sharding=("in",), eager_sharding=False)
        >>> @nnx.vmap(axis_size=4, in_axes=None)
        ... @nnx.transform_metadata(in_axes=None, partition="layers")
        ... def create(n):
        ...     return nnx.Param(init(3))
        >>> create(0).out_sharding
        ('layers', 'in')
    """
    if f is MISSING:
        return functools.partial(
            transform_metadata, in_axes=in_axes, out_axes=out_axes, partition=partition, graph=graph
        )
    refuse_bound_method(f, "transform_metadata")
    edge = Boundary("transform_metadata", graph, False)
    edge.set_prefixes(in_axes=(in_axes, 0), out_axes=out_axes)
    told = {PARTITION_NAME: partition}

    @functools.wraps(f)
    def renaming(*args: Any, **kwargs: Any) -> Any:
        tree = (args, kwargs)
        if edge.mode.graph:
            check_same_prefixes(met(edge.inputs, tree), has_identity)
        else:
            edge.take_apart(tree)  # refuses what is no tree
        arguments = [x for x in variables_with_axes(edge.inputs, tree) if is_axis(x[1])]
        changed: list[tuple[Variable[Any], Any]] = []
        try:
            for variable, axis in arguments:
                remove_axis(variable, axis, told)
                changed.append((variable, axis))
            out = f(*args, **kwargs)
        finally:
            for variable, axis in changed:
                add_axis(variable, axis, told)
        known = {id(variable): axis for variable, axis in variables_with_axes(edge.inputs, tree)}
        for variable, axis in variables_with_axes(edge.outputs, out):
            if known.get(id(variable), axis) != axis:
                raise ValueError(
                    f"Inconsistent aliasing detected: a {type(variable).__name__} came in with the "
                    f"axis {known[id(variable)]}, and was returned with the axis {axis} in "
                    "out_axes of nnx.transform_metadata."
                )
            if is_axis(axis) and id(variable) not in known:
                add_axis(variable, axis, told)
        return out

    return renaming
