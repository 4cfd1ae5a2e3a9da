"""scan: one function run several times, over slices of its arguments, with what is carried on."""

import functools
from collections.abc import Mapping
from typing import Any

import jax

from ramie.core.tracing.arguments import all_positional
from ramie.nnx.transforms.arguments.boundary import Boundary, refuse_bound_method
from ramie.nnx.transforms.arguments.prefixes import path_text
from ramie.nnx.transforms.iteration.axes import (
    Carry,
    StateAxes,
    check_count,
    is_axis,
)
from ramie.nnx.transforms.iteration.scan_loop import ScanLoop
from ramie.typing import MISSING

__all__ = ["scan"]


def scan(
    f: Any = MISSING,
    *,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
    in_axes: Any = (Carry, 0),
    out_axes: Any = (Carry, 0),
    transform_metadata: Mapping[str, Any] = {},
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Run a function once for each slice of its arguments, as `jax.lax.scan` does.

    Variables that come in as slices, or are carried, may change; so do those of the caller. What
    has the axis None is the same in all iterations: in graph mode with updates changes to it are
    forgotten after each iteration, else its variables are carried on.

    Args:
      f: the function; without it, a decorator is returned.
      length: how many times to run it; needed if there are no slices.
      reverse: begin with the last slice.
      unroll: how many iterations to write out in one of the compiled loop, or whether all.
      in_axes: for each positional argument the axis of the slices, None, or `Carry` for the one
        that the function returns for its next run; or one of these for all arguments. Trees of
        axes count for all that is below. In graph mode with updates a `StateAxes` gives axes by
        filter, `Carry` among them; else `nnx.prefix` does.
      out_axes: for each output the axis along which it is stacked, or `Carry`; or one of these.
      transform_metadata: what variables with an axis are told of it; see `nnx.spmd.add_axis`.
      graph: whether arguments may share nodes; by default as `set_graph_mode` says. False treats
        modules as plain trees.
      graph_updates: whether structure may change, and outputs may be objects that were passed in;
        by default as `set_graph_updates` says.

    Returns:
      The function that runs all iterations.

    Raises:
      ValueError: if axes do not fit; if references in what is carried change; for bound methods.
      TypeError: if the structure of what is carried changes.

    Differs from Flax: `transform_metadata` and arguments by name count in all modes; variables in
    cells (``ref=True``) can be carried; variables that swap places have right values in the end.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> @nnx.split_rngs(splits=3)
        ... @nnx.vmap
        ... def create(rngs):
        ...     return nnx.Linear(2, 2, rngs=rngs)
        >>> @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        ... def forward(x, layer):
        ...     return layer(x)
        >>> forward(jnp.ones(2), create(nnx.Rngs(0))).shape
        (2,)
    """
    if f is MISSING:
        return functools.partial(
            scan,
            length=length,
            reverse=reverse,
            unroll=unroll,
            _split_transpose=_split_transpose,
            in_axes=in_axes,
            out_axes=out_axes,
            transform_metadata=transform_metadata,
            graph=graph,
            graph_updates=graph_updates,
        )
    refuse_bound_method(f, "scan")
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    out_axes = tuple(out_axes) if isinstance(out_axes, list) else out_axes
    places = _check_axes(in_axes, out_axes)
    edge = Boundary("scan", graph, graph_updates)
    loop = ScanLoop(f, edge, (in_axes, out_axes), places, transform_metadata)
    run = functools.partial(
        jax.lax.scan,
        length=length,
        reverse=reverse,
        unroll=unroll,
        _split_transpose=_split_transpose,
    )

    @functools.wraps(f)
    def scanned(*args: Any, **kwargs: Any) -> Any:
        if kwargs or (isinstance(in_axes, tuple) and len(args) != len(in_axes)):
            args = all_positional(f, args, kwargs, "nnx.scan")
            check_count(args, in_axes, "scan")
        if in_axes is Carry and len(args) != 1:
            raise ValueError(
                "When in_axes=Carry, the function must take exactly one argument, got "
                f"{len(args)} arguments. Write in_axes=(Carry, ...) with an axis for each."
            )
        return loop(run, length, args)

    return scanned


# --- axes -----------------------------------------------------------------------------------------


def _carry_position(axes: Any, name: str) -> int | None:
    """Find `Carry` among axes.

    Raises:
      ValueError: if it is there twice, or inside of a tree.
    """
    tops = axes if isinstance(axes, tuple) else (axes,)
    found = [number for number, axis in enumerate(tops) if axis is Carry]
    if len(found) > 1:
        raise ValueError(
            f"Found multiple Carry definitions in {name}={axes}: one argument, or output, is "
            "carried. Carry a tuple to carry several values."
        )
    for path, axis in jax.tree_util.tree_flatten_with_path(axes)[0]:
        if axis is Carry and len(path) > isinstance(axes, tuple):
            raise ValueError(
                "Carry must be a top-level argument, it cannot be nested. Found Carry inside "
                f"{name} at path {path_text(path)}. All of an argument is carried, or nothing."
            )
    return found[0] if found else None


def _check_axes(in_axes: Any, out_axes: Any) -> tuple[int | None, int | None]:
    """Check axes; return the places of what is carried.

    Raises:
      ValueError: if something is wrong with them.
    """
    carry_in, carry_out = _carry_position(in_axes, "in_axes"), _carry_position(out_axes, "out_axes")
    if (carry_in is None) != (carry_out is None):
        raise ValueError(
            "If one of in_axes or out_axes has Carry, the other must also have Carry. Got "
            f"{in_axes=} and {out_axes=}."
        )
    for name, axes in (("in_axes", in_axes), ("out_axes", out_axes)):
        leaves = jax.tree_util.tree_flatten_with_path(axes, is_leaf=lambda x: x is None)[0]
        for path, axis in leaves:
            mapped = axis.axes if isinstance(axis, StateAxes) else (axis,)
            if name == "out_axes" and None in mapped:
                what = axis if isinstance(axis, StateAxes) else "out_axes=None"
                raise ValueError(
                    f"Cannot broadcast output state. Got {what} at: out_axes{path_text(path)}. "
                    "Each iteration returns its own value: give an axis along which to stack them."
                )
            if not all(x is None or x is Carry or is_axis(x) for x in mapped):
                raise ValueError(
                    f"Invalid axes {axis!r} at {name}{path_text(path)}: an axis is a number, None, "
                    "or nnx.Carry."
                )
            if name == "out_axes" and isinstance(axis, StateAxes) and Carry in mapped:
                raise ValueError(
                    f"Carry must be a top-level output, but {axis} at out_axes{path_text(path)} "
                    "holds it."
                )
    return carry_in, carry_out
