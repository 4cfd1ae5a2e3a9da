"""Boxes that carry metadata beside a variable's value, first of all the names of its axes.

A variable collection may hold `AxisMetadata` boxes in place of arrays. Layers never see them:
`Scope.param` and `Variable.value` unbox. Transformations that add or remove an axis of the value
(vmap, scan) tell the box, so that the metadata stays true.
"""

import abc
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

from ramie import errors
from ramie.core import laying
from ramie.core.constraints import constrained, has_mesh
from ramie.trees import struct

__all__ = [
    "PARTITION_NAME",
    "AxisMetadata",
    "Partitioned",
    "TAxisMetadata",
    "add_axis",
    "get_global_mesh",
    "get_partition_spec",
    "get_sharding",
    "global_mesh_defined",
    "is_axis_metadata",
    "map_axis_meta",
    "remove_axis",
    "replace_boxed",
    "unbox",
    "with_partitioning",
]

A = TypeVar("A")
B = TypeVar("B")
TAxisMetadata = TypeVar("TAxisMetadata", bound="AxisMetadata[Any]")

PARTITION_NAME = "partition_name"
"""The key of `metadata_params` under which `Partitioned` finds the name of a new axis."""


class AxisMetadata(Generic[A], metaclass=abc.ABCMeta):
    """Interface of the boxes that a variable collection may hold.

    A box must be a JAX pytree whose leaves are those of the boxed value.
    """

    @abc.abstractmethod
    def unbox(self) -> A:
        """Return the value without its box."""

    @abc.abstractmethod
    def replace_boxed(self, val: B) -> "AxisMetadata[B]":
        """Return the same metadata around another value."""

    @abc.abstractmethod
    def add_axis(self, index: int, params: dict[Any, Any]) -> "AxisMetadata[A]":
        """Describe a value that has gained an axis.

        Args:
          index: where the new axis stands in the value's shape; negative counts from the end.
          params: what the caller of the transformation passed as `metadata_params`.

        Returns:
          A box with new metadata; the value is the one this box already holds.
        """

    @abc.abstractmethod
    def remove_axis(self, index: int, params: dict[Any, Any]) -> "AxisMetadata[A]":
        """Describe a value that loses the axis `index`: the inverse of `add_axis`."""


def is_axis_metadata(val: Any) -> bool:
    """Tell whether `val` is a metadata box."""
    return isinstance(val, AxisMetadata)


def map_axis_meta(fn: Callable[[AxisMetadata[Any]], Any], tree: Any) -> Any:
    """Apply `fn` to every box of the tree and leave all other leaves as they are."""
    return jax.tree.map(
        lambda leaf: fn(leaf) if isinstance(leaf, AxisMetadata) else leaf,
        tree,
        is_leaf=is_axis_metadata,
    )


def add_axis(tree: Any, index: int, params: dict[Any, Any]) -> Any:
    """Tell every box of the tree that its value has gained the axis `index`."""
    return map_axis_meta(lambda box: box.add_axis(index, params), tree)


def remove_axis(tree: Any, index: int, params: dict[Any, Any]) -> Any:
    """Tell every box of the tree that its value loses the axis `index`."""
    return map_axis_meta(lambda box: box.remove_axis(index, params), tree)


def unbox(tree: Any) -> Any:
    """Replace every box of the tree by its value; a box inside a box goes too."""
    return map_axis_meta(lambda box: unbox(box.unbox()), tree)


def replace_boxed(tree: Any, updates: Any) -> Any:
    """Put new values into the boxes of a tree.

    Args:
      tree: a tree of boxes and plain leaves.
      updates: a tree of new values, shaped like `tree` down to its boxes.

    Returns:
      `updates`, with the value at each box of `tree` inside that box's metadata.
    """
    return jax.tree.map(
        lambda old, new: old.replace_boxed(new) if isinstance(old, AxisMetadata) else new,
        tree,
        updates,
        is_leaf=is_axis_metadata,
    )


def get_global_mesh() -> jax.sharding.AbstractMesh | None:
    """Return the mesh of the innermost `jax.set_mesh`, or None outside of one."""
    mesh = jax.sharding.get_abstract_mesh()
    return None if mesh.empty else mesh


def global_mesh_defined() -> bool:
    """Tell whether the code runs inside `jax.set_mesh`."""
    return not jax.sharding.get_abstract_mesh().empty


class Partitioned(struct.PyTreeNode, AxisMetadata[A]):
    """A value with one mesh axis name (or None) for each of its dimensions.

    Inside `jax.set_mesh`, or with a mesh of its own, unboxing constrains the value's sharding
    accordingly; elsewhere the names are only carried along. Transformations that add a dimension
    take its name from `metadata_params={Partitioned.AXIS_NAME: name}`.

    Attributes:
      value: the boxed array, or tree of arrays that share the names.
      names: mesh axis names by dimension; None is a dimension that is not split.
      mesh: the mesh to constrain to; None takes the surrounding one.

    Differs from Flax: a negative index of `add_axis` counts from the end of the grown shape, as
    JAX does, and an axis that cannot be removed is a ValueError rather than a failed assertion.
    """

    AXIS_NAME: ClassVar[str] = PARTITION_NAME

    value: A
    names: tuple[str | None, ...] = struct.field(pytree_node=False)
    mesh: Mesh | None = struct.field(default=None, pytree_node=False)

    def unbox(self, apply_constraint: bool = True) -> A:
        """Return the value, constrained to its sharding where a mesh is known.

        Args:
          apply_constraint: False returns the bare value in any case.
        """
        if not apply_constraint or not has_mesh(self.mesh):
            return self.value
        return constrained(self.value, self.get_partition_spec(), self.mesh)

    def replace_boxed(self, val: B) -> "Partitioned[B]":
        """Return another value under the same names and mesh."""
        return self.replace(value=val)  # type: ignore[return-value]

    def _new_axis_name(self, params: Mapping[Any, Any]) -> str | None:
        if PARTITION_NAME not in params:
            raise errors.PartitioningUnspecifiedError(self)
        return params[PARTITION_NAME]

    def add_axis(self, index: int, params: dict[Any, Any]) -> "Partitioned[A]":
        """Insert the name that `params` gives; missing names before it become None.

        Raises:
          PartitioningUnspecifiedError: if `params` names no axis; None is a name.
        """
        name = self._new_axis_name(params)
        names = list(self.names)
        if index < 0:
            index += len(names) + 1
        names.extend([None] * (index - len(names)))
        names.insert(index, name)
        return self.replace(names=tuple(names))

    def remove_axis(self, index: int, params: dict[Any, Any]) -> "Partitioned[A]":
        """Remove the name at `index`, which has to be the one that `params` gives.

        Raises:
          PartitioningUnspecifiedError: if `params` names no axis.
          ValueError: if another axis stands at `index`, or none.
        """
        name = self._new_axis_name(params)
        names = list(self.names)
        if not -len(names) <= index < len(names) or names[index] != name:
            raise ValueError(
                f"The axis {index} to be removed should be called {name!r} according to "
                f"metadata_params, but the names of this Partitioned value are {self.names}. "
                "Use the same axis and the same metadata_params as when it was created."
            )
        del names[index]
        return self.replace(names=tuple(names))

    def get_partition_spec(self) -> PartitionSpec:
        """Return the names as a `PartitionSpec`."""
        return PartitionSpec(*self.names)

    def get_sharding(self, mesh: Mesh) -> Sharding:
        """Return the names as a sharding over `mesh`.

        Raises:
          ValueError: if a name is no axis of the mesh.
        """
        spec = self.get_partition_spec()
        laying.check_axes(spec, mesh, f"A {type(self).__name__} value")
        return NamedSharding(mesh, spec)

    def initial_sharding(self) -> NamedSharding | None:
        """Return how the first value is to lie, or None where nothing is known of that."""
        return laying.target(self.mesh, self.names)

    def to_nnx_metadata(self) -> dict[str, Any]:
        """Return value, mesh and names under the keywords of an NNX variable."""
        return {"value": self.value, "mesh": self.mesh, "out_sharding": self.names}

    @classmethod
    def from_nnx_metadata(cls, metadata: Mapping[str, Any]) -> "Partitioned[Any]":
        """Build a box from the metadata of an NNX variable: `to_nnx_metadata` backwards."""
        known = {"value", "mesh", *cls.__dataclass_fields__}
        fields = {key: entry for key, entry in metadata.items() if key in known}
        return cls(names=metadata["out_sharding"], **fields)


def _per_leaf(tree: Any, of_box: str, of_array: Any, *args: Any) -> Any:
    """Map boxes through their method `of_box`, arrays to `of_array`, all else to None."""

    def describe(path: Any, leaf: Any) -> Any:
        if isinstance(leaf, AxisMetadata):
            method = getattr(leaf, of_box, None)
            try:
                return None if method is None else method(*args)
            except Exception as error:
                place = jax.tree_util.keystr(path, simple=True, separator="/")
                error.add_note(f"For the {type(leaf).__name__} value at /{place}")
                raise
        return of_array if hasattr(leaf, "shape") else None

    return jax.tree_util.tree_map_with_path(describe, tree, is_leaf=is_axis_metadata)


def get_partition_spec(tree: Any) -> Any:
    """Return a `PartitionSpec` for each leaf of a tree of boxes and arrays.

    Args:
      tree: variables, or what `jax.eval_shape` says of them.

    Returns:
      A tree of the same structure: the names of a box, an empty spec for an array without box,
      None for a leaf that is not an array.
    """
    return _per_leaf(tree, "get_partition_spec", PartitionSpec())


def get_sharding(tree: Any, mesh: Mesh) -> Any:
    """Return a sharding over `mesh` for each leaf of a tree of boxes and arrays.

    Args:
      tree: variables, or what `jax.eval_shape` says of them.
      mesh: the mesh whose axes the names mean.

    Returns:
      A tree of the same structure; arrays without box are replicated, other leaves give None.

    Raises:
      ValueError: if a name is no axis of the mesh.
    """
    return _per_leaf(tree, "get_sharding", NamedSharding(mesh, PartitionSpec()), mesh)


def with_partitioning(
    fn: Callable[..., Any], names: tuple[str | None, ...], mesh: Mesh | None = None
) -> Callable[..., Partitioned[Any]]:
    """Make an initializer return its result in a `Partitioned` box.

    Args:
      fn: the initializer.
      names: mesh axis names by dimension of the result.
      mesh: the mesh to constrain to when unboxing; None takes the surrounding one.

    Example:
        >>> import jax
        >>> kernel_init = with_partitioning(jax.nn.initializers.ones, ("data", "model"))
        >>> kernel_init(jax.random.key(0), (2, 3)).names
        ('data', 'model')
    """
    return memoised_boxing(Partitioned, fn, names, mesh=mesh)


def memoised_boxing(
    box: Callable[..., Any], fn: Callable[..., Any], names: Any, **fields: Any
) -> Callable[..., Any]:
    """Wrap an initializer so that `box(value, names, **fields)` holds its result.

    Equal arguments give the same wrapper, so that caches keyed by initializer (the expected
    parameter shapes) still hit when a layer wraps its initializer at each call.
    """
    try:
        return _boxing(box, fn, names, tuple(fields.items()))
    except TypeError:  # something among the arguments has no hash
        return _boxing.__wrapped__(box, fn, names, tuple(fields.items()))


@functools.lru_cache(maxsize=512)
def _boxing(
    box: Callable[..., Any], fn: Callable[..., Any], names: Any, fields: tuple[Any, ...]
) -> Callable[..., Any]:
    # Attributes that describe the plain initializer are not true of the boxed one: no `updated`.
    # The closure holds constants only, which the cache of expected shapes asks for.
    @functools.wraps(fn, updated=())
    def initialize_boxed(*args: Any, **kwargs: Any) -> Any:
        empty = box(None, names, **dict(fields))
        sharding = empty.initial_sharding()
        value = laying.laid(laying.made(fn, args, kwargs, sharding), sharding)
        return empty.replace_boxed(value)

    boxed: Any = initialize_boxed
    boxed.boxing = lambda other: memoised_boxing(box, other, names, **dict(fields)), fn
    return initialize_boxed
