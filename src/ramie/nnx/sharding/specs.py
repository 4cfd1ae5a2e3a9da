"""Shardings of models: what the metadata of variables says of where their values lie."""

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ramie.core import laying
from ramie.nnx.graph import functional
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.kinds import with_metadata
from ramie.nnx.variable.placement import REMEDY, mesh_of, partition_spec

__all__ = [
    "abstract_with_sharding",
    "as_abstract",
    "get_abstract_model",
    "get_named_sharding",
    "get_partition_spec",
    "get_var_pspec",
    "with_partitioning",
]

A = TypeVar("A")
F = TypeVar("F", bound=Callable[..., Any])


def get_var_pspec(v: Variable[Any]) -> PartitionSpec | None:
    """Return the mesh axes of each dimension of a variable's value.

    Args:
      v: the variable. Its `out_sharding` is translated by the logical axis rules in force and by
        its own `sharding_rules`.

    Returns:
      The spec; an empty one if there is no `out_sharding`, None if the value is no array either.
    """
    spec = partition_spec(v.get_metadata())
    if spec is None and hasattr(v.get_raw_value(), "shape"):
        return PartitionSpec()
    return spec


def _per_leaf(tree: A, of_spec: Callable[[Any, PartitionSpec], Any]) -> A:
    def described(path: Any, x: Any) -> Any:
        if isinstance(x, Variable):
            spec = get_var_pspec(x)
            return x.replace(None if spec is None else of_spec(path, spec))
        return of_spec(path, PartitionSpec()) if hasattr(x, "shape") else None

    mapped: A = jax.tree_util.tree_map_with_path(
        described, tree, is_leaf=lambda x: isinstance(x, Variable)
    )
    return mapped


def get_partition_spec(tree: A) -> A:
    """Return a `PartitionSpec` for each leaf of a tree of variables and arrays.

    Args:
      tree: a state, a module, or any pytree.

    Returns:
      The same tree with specs as values; None for leaves that are no arrays.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> w = nnx.Param(jnp.ones((4, 2)), out_sharding=("data", None), eager_sharding=False)
        >>> nnx.get_partition_spec({"w": w})["w"].get_value()
        P('data', None)
    """
    return _per_leaf(tree, lambda path, spec: spec)


def get_named_sharding(tree: A, mesh: Mesh) -> A:
    """Return a sharding over `mesh` for each leaf of a tree of variables and arrays.

    Args:
      tree: a state, a module, or any pytree.
      mesh: the mesh whose axes the names mean.

    Returns:
      The same tree with shardings as values, to be passed to `jax.device_put` or `jax.jit`; None
      for leaves that are no arrays.

    Raises:
      ValueError: if a name that no rule translates is no axis of the mesh.
    """
    return _per_leaf(tree, lambda path, spec: laying.sharding_at(path, mesh, spec, REMEDY))


def as_abstract(tree: A, graph: bool | None = None) -> A:
    """Give the abstract variables of a model the shardings that their metadata describes.

    Shapes computed by `jax.eval_shape` say nothing of shardings over meshes with automatic axes.

    Args:
      tree: a module, a state, or any pytree with variables, of which some hold a
        `jax.ShapeDtypeStruct`.
      graph: whether nodes may be shared; by default as `set_graph_mode` says.

    Returns:
      A copy, where descriptions without sharding have one if there is an `out_sharding` and a mesh,
      as metadata or around this call.

    Raises:
      ValueError: if a name that no rule translates is no axis of the mesh.
    """

    def described(path: Any, x: Any) -> Any:
        if not isinstance(x, Variable) or "out_sharding" not in x.get_metadata():
            return x
        value, mesh = x.get_raw_value(), mesh_of(x.get_metadata())
        spec = partition_spec(x.get_metadata())
        if mesh is None or spec is None or not isinstance(value, jax.ShapeDtypeStruct):
            return x
        if value.sharding is not None:
            return x
        place = f"{type(x).__name__} at /{'/'.join(map(str, path))}"
        laying.check_axes(spec, mesh, place, REMEDY)
        sharding = NamedSharding(mesh, spec)
        return x.replace(jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=sharding))

    return functional.map(described, tree, graph=graph)


def abstract_with_sharding(tree: A, graph: bool | None = None) -> A:
    """Do what `as_abstract` does; its former name.

    Args:
      tree: see `as_abstract`.
      graph: see `as_abstract`.
    """
    warnings.warn(
        "abstract_with_sharding is deprecated. Use as_abstract instead.",
        DeprecationWarning,
        stacklevel=2,
    )
    return as_abstract(tree, graph)


def get_abstract_model(
    init_fn: Callable[[], Any], mesh: Mesh, *, graph: bool | None = None
) -> tuple[Any, Any]:
    """Describe a model, with the shardings of its variables over a mesh, without making it.

    Args:
      init_fn: makes the model.
      mesh: the mesh.
      graph: whether nodes may be shared; by default as `set_graph_mode` says.

    Returns:
      The structure, and a state of shapes with shardings: what a checkpoint is restored into.
    """
    with jax.set_mesh(mesh):
        graphdef, state = jax.eval_shape(lambda: functional.split(init_fn(), graph=graph))

    def described(path: Any, x: Any) -> Any:
        value = x.get_raw_value() if isinstance(x, Variable) else x
        if not isinstance(value, jax.ShapeDtypeStruct):
            return x
        metadata = x.get_metadata() if isinstance(x, Variable) else {}
        spec = partition_spec(metadata) or PartitionSpec()
        sharding = laying.sharding_at(path, metadata.get("mesh") or mesh, spec, REMEDY)
        shaped = jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=sharding)
        return x.replace(shaped) if isinstance(x, Variable) else shaped

    return graphdef, jax.tree_util.tree_map_with_path(
        described, state, is_leaf=lambda x: isinstance(x, Variable)
    )


def with_partitioning(
    initializer: F,
    sharding: tuple[str | tuple[str, ...] | None, ...],
    mesh: Mesh | None = None,
    **metadata: Any,
) -> F:
    """Wrap an initializer so that the variable made of its result says where it lies on a mesh.

    Args:
      initializer: any function that returns an array.
      sharding: a mesh axis, several, a logical axis or None for each dimension.
      mesh: the mesh; by default that around the place where the variable is made.
      **metadata: further entries, such as `sharding_rules`.

    Example:
        >>> import jax
        >>> from ramie import nnx
        >>> init = nnx.with_partitioning(nnx.initializers.zeros_init(), ("data",))
        >>> nnx.Param(init(jax.random.key(0), (2,)), eager_sharding=False).out_sharding
        ('data',)
    """
    return with_metadata(initializer, out_sharding=sharding, mesh=mesh, **metadata)
