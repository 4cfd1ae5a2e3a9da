"""nnx.shard_map and nnx.pmap: one program on many devices, each with its part of the arrays."""

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh, PartitionSpec

from ramie.core.tracing.arguments import all_positional, from_start
from ramie.nnx.modules.places import noting
from ramie.nnx.transforms.arguments.boundary import Boundary, refuse_bound_method
from ramie.nnx.transforms.arguments.statics import with_statics, without_statics
from ramie.nnx.transforms.iteration.axes import AxisMetadata
from ramie.typing import MISSING

__all__ = ["pmap", "shard_map"]


def shard_map(
    f: Any = MISSING,
    *,
    mesh: Mesh | AbstractMesh,
    in_specs: Any,
    out_specs: Any,
    axis_names: AbstractSet[Hashable] = frozenset(),
    check_vma: bool = True,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Run a function on each device of a mesh, on its part of each array; `jax.shard_map` for NNX.

    Args:
      f: the function; it sees the parts. Without one, a decorator is returned.
      mesh: the devices.
      in_specs: how arguments are divided: PartitionSpecs, or a `StateSharding` of them.
      out_specs: how parts of the output are joined.
      axis_names: the axes of the mesh that are divided by hand; by default all.
      check_vma: whether JAX checks what is equal on all devices.
      graph: see `jit`.
      graph_updates: see `jit`. With them, all variables of the arguments are placed as `in_specs`
        says; without, those that the function stores to.

    Returns:
      The function of whole arrays.

    Raises:
      ValueError: for a bound method; for prefixes that do not go with the mode.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ramie import nnx
        >>> mesh = jax.sharding.Mesh(jax.devices(), "data")
        >>> @nnx.shard_map(mesh=mesh, in_specs=(jax.P(), jax.P("data")), out_specs=jax.P("data"))
        ... def scaled(scale, x):
        ...     return scale * x
        >>> scaled(nnx.Param(jnp.array(2.0)), jnp.ones(8)).sum()
        Array(16., dtype=float32)
    """
    if f is MISSING:
        return functools.partial(
            shard_map,
            mesh=mesh,
            in_specs=in_specs,
            out_specs=out_specs,
            axis_names=axis_names,
            check_vma=check_vma,
            graph=graph,
            graph_updates=graph_updates,
        )
    refuse_bound_method(f, "shard_map")
    edge = Boundary("shard_map", graph, graph_updates)
    edge.set_prefixes(
        in_specs=tuple(in_specs) if isinstance(in_specs, list) else in_specs, out_specs=out_specs
    )

    @noting
    def pure(outline: Any, *groups: Any) -> Any:
        inside = edge.enter(outline, groups)
        return inside.leave(f(*inside.tree), complete=edge.mode.updates)

    before = tuple(map(_spec, edge.inputs.values))
    mapped = jax.shard_map(
        pure,
        mesh=mesh,
        in_specs=(PartitionSpec(), *before),
        out_specs=(PartitionSpec(), *before, *map(_spec, edge.outputs.values)),
        axis_names=axis_names,
        check_vma=check_vma,
    )

    @functools.wraps(f)
    def sharded(*args: Any, **kwargs: Any) -> Any:
        args = all_positional(f, args, kwargs, "nnx.shard_map") if kwargs else args
        operands = edge.take_apart(args)
        return operands.write_back(mapped(operands.outline, *operands.groups))

    return sharded


def _spec(spec: Any) -> Any:
    return PartitionSpec() if spec is None else spec


def pmap(
    f: Any = MISSING,
    *,
    axis_name: Hashable | None = None,
    in_axes: Any = 0,
    out_axes: Any = 0,
    static_broadcasted_argnums: int | Iterable[int] = (),
    devices: Sequence[jax.Device] | None = None,
    backend: str | None = None,
    axis_size: int | None = None,
    donate_argnums: int | Iterable[int] = (),
    transform_metadata: Mapping[str, Any] = {},
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Run a function on several devices, each with one entry along an axis; `jax.pmap` for NNX.

    Args:
      f: the function; it sees the entries. Without one, a decorator is returned.
      axis_name: what the axis is called in collective operations.
      in_axes: the axis of each argument, or None for the same value everywhere; a `StateAxes` has
        one for each variable of a module.
      out_axes: where the axis of the output is.
      static_broadcasted_argnums: positions of arguments that are hashable and constants.
      devices: the devices; by default all of this process.
      backend: as for `jax.pmap`.
      axis_size: how long the axis is, if no argument says so.
      donate_argnums: accepted; the buffers are kept.
      transform_metadata: what variables with an axis are told of it; see `nnx.spmd.add_axis`.
      graph: see `jit`.
      graph_updates: see `jit`.

    Returns:
      The function of arrays with the axis.

    Raises:
      ValueError: for a bound method; for prefixes that do not go with the mode.
    """
    if f is MISSING:
        return functools.partial(
            pmap,
            axis_name=axis_name,
            in_axes=in_axes,
            out_axes=out_axes,
            static_broadcasted_argnums=static_broadcasted_argnums,
            devices=devices,
            backend=backend,
            axis_size=axis_size,
            donate_argnums=donate_argnums,
            transform_metadata=transform_metadata,
            graph=graph,
            graph_updates=graph_updates,
        )
    refuse_bound_method(f, "pmap")
    del donate_argnums
    numbers = from_start(f, static_broadcasted_argnums)
    if isinstance(in_axes, tuple | list):
        in_axes = tuple(without_statics(in_axes, numbers)[0])
    edge = Boundary("pmap", graph, graph_updates)
    edge.set_prefixes(in_axes=in_axes, out_axes=out_axes)
    told = AxisMetadata(edge, transform_metadata)

    @noting
    def pure(packed: Any) -> Any:
        outline, *groups = packed
        inside = edge.enter(outline, groups)
        told.enter(inside)
        out = f(*with_statics(inside.tree, outline.note))
        told.leave(inside, out)
        return inside.leave(out)

    mapped: Callable[..., Any] = jax.pmap(
        pure,
        axis_name=axis_name,
        # In one tuple: axes side by side are taken for those of as many leaves.
        in_axes=((None, *edge.inputs.values),),
        out_axes=(None, *edge.inputs.values, *edge.outputs.values),
        devices=devices,
        backend=backend,
        axis_size=axis_size,
    )

    @functools.wraps(f)
    def parallel(*args: Any, **kwargs: Any) -> Any:
        args = all_positional(f, args, kwargs, "nnx.pmap") if kwargs else args
        own, note = without_statics(args, numbers)
        operands = edge.take_apart(tuple(own), note)
        return operands.write_back(mapped((operands.outline, *operands.groups)))

    return parallel
