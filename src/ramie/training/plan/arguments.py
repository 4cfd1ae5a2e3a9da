"""The arguments of a step: shapes, how they are laid out, which collection they are of."""

import dataclasses
import inspect
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from ramie.core.meta import Partitioned, is_axis_metadata
from ramie.core.sharding import get_logical_axis_rules
from ramie.errors import PlanArgumentError
from ramie.training.plan.report import Buffer, Collection, Replicated

__all__ = [
    "Leaf",
    "buffers_of",
    "class_if_imported",
    "collections_of",
    "lay_out",
    "replicated_in",
]

_LARGE = 2**20  # bytes on a device; smaller arrays are not worth a rule
_Path = tuple[Any, ...]


@dataclass(frozen=True)
class Leaf:
    """An array among the arguments.

    Attributes:
      argument: the name of the argument.
      path: its path in the arguments.
      collection: which collection it is of.
      shape: of the whole array.
      dtype: its dtype.
      spec: the axes of the mesh of each dimension.
      names: logical names of its dimensions, where they are known.
    """

    argument: str
    path: str
    collection: str
    shape: tuple[int, ...]
    dtype: Any
    spec: PartitionSpec
    names: tuple[Any, ...] = ()

    @property
    def bytes(self) -> int:
        """Its size as a whole."""
        if jnp.issubdtype(self.dtype, jax.dtypes.extended):  # keys
            data = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct((), self.dtype))
            return math.prod(self.shape) * data.size * data.dtype.itemsize
        return -(-math.prod(self.shape) * jax.dtypes.itemsize_bits(self.dtype) // 8)

    def device_bytes(self, mesh: AbstractMesh) -> int:
        """Return what one device holds of it."""
        return self.bytes // math.prod(mesh.shape[axis] for axis in _axes(self.spec))

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


def _axes(spec: Any) -> list[str]:
    found: list[str] = []
    for entry in spec:
        found += entry if isinstance(entry, tuple) else [entry] if isinstance(entry, str) else []
    return found


def lay_out(
    step: Callable[..., Any],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
    mesh: AbstractMesh,
    specs: Any,
    static: Sequence[int],
) -> tuple[tuple[Any, ...], dict[str, Any], list[Leaf]]:
    """Give each array among the arguments its sharding.

    A spec that was given comes first, then the sharding of the array itself, then the metadata of
    its variable; what nothing is said of lies whole on each device.

    Args:
      step: the function; its parameters name the arguments.
      arguments: the positional ones.
      keywords: those by name.
      mesh: the mesh.
      specs: how the positional ones are laid out.
      static: numbers of those that are no arrays.

    Returns:
      The arguments, with shapes in the place of arrays, and a description of each array.

    Raises:
      PlanArgumentError: a spec does not fit its array or the mesh.
    """
    given = _one_for_each(specs, len(arguments))
    names = _names(step, len(arguments))
    leaves: list[Leaf] = []
    placed = []
    for number, argument in enumerate(arguments):
        if number in static:
            placed.append(argument)
        else:
            placed.append(_Layer(names[number], mesh, leaves).lay(argument, given[number]))
    named = {key: _Layer(key, mesh, leaves).lay(value, None) for key, value in keywords.items()}
    return tuple(placed), named, leaves


def _one_for_each(specs: Any, count: int) -> list[Any]:
    if specs is None:
        return [None] * count
    if isinstance(specs, PartitionSpec) or not isinstance(specs, tuple | list):
        specs = (specs,)
    if len(specs) > count:
        raise PlanArgumentError(
            f"specs has {len(specs)} entries for {count} arguments: one entry for each argument, "
            "None where it says itself how it is laid out."
        )
    return [*specs, *[None] * (count - len(specs))]


def _names(step: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(step).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    names = [parameter.name for parameter in parameters if parameter.kind in positional]
    return [names[i] if i < len(names) else f"argument {i}" for i in range(count)]


def class_if_imported(module: str, name: str) -> Any:
    """Return a class of the library; nothing is an instance of what is not imported yet."""
    return getattr(sys.modules.get(module), name, ())


@dataclass
class _Layer:
    """Lays out one argument."""

    argument: str
    mesh: AbstractMesh
    leaves: list[Leaf]

    def lay(self, argument: Any, given: Any) -> Any:
        variables = class_if_imported("ramie.nnx.variable.base", "Variable")
        held = jax.tree.leaves(argument, is_leaf=lambda x: isinstance(x, variables))
        if any(isinstance(x, variables) for x in held):
            return self._lay_variables(argument, given, variables)
        flat, structure = jax.tree_util.tree_flatten_with_path(argument, is_leaf=is_axis_metadata)
        specs = self._spread(given, structure, argument)
        found = []
        for (path, leaf), spec in zip(flat, specs, strict=True):
            found.append(self._box(path, leaf, spec, self._collection(path)))
        return jax.tree.unflatten(structure, found)

    def _spread(self, given: Any, structure: Any, argument: Any) -> list[Any]:
        """Return a spec, or None, for each leaf."""
        if given is None or isinstance(given, PartitionSpec):
            return [given] * structure.num_leaves
        is_spec = lambda x: x is None or isinstance(x, PartitionSpec)
        found: list[Any] = []

        def below(spec: Any, tree: Any) -> None:
            if not is_spec(spec):
                raise TypeError(f"{spec!r} is no PartitionSpec")
            found.extend([spec] * len(jax.tree.leaves(tree, is_leaf=is_axis_metadata)))

        try:
            jax.tree.map(below, given, argument, is_leaf=is_spec)
        except (TypeError, ValueError) as error:
            raise PlanArgumentError(
                f"The entry of specs for {self.argument} is no tree of PartitionSpec above it: "
                f"{error}"
            ) from None
        return found

    def _lay_variables(self, argument: Any, given: Any, variables: Any) -> Any:
        """Lay out an argument that holds variables of NNX, shared ones once."""
        from ramie.nnx.graph.functional import merge, split
        from ramie.nnx.variable.placement import partition_spec

        if given is not None and not isinstance(given, PartitionSpec):
            raise PlanArgumentError(
                f"The entry of specs for {self.argument}, which holds variables of NNX, is one "
                "PartitionSpec for all of it or None: the out_sharding of each variable says how "
                "it is laid out."
            )
        graphdef, state = split(argument)
        flat, structure = jax.tree_util.tree_flatten_with_path(
            state, is_leaf=lambda x: isinstance(x, variables)
        )
        found = []
        for path, leaf in flat:
            if not isinstance(leaf, variables):
                found.append(self._box(path, leaf, given, self._collection(path)))
                continue
            metadata = leaf.get_metadata()
            spec = given if given is not None else partition_spec(metadata)
            names = metadata.get("out_sharding")
            names = tuple(names) if isinstance(names, tuple | list | PartitionSpec) else ()
            value = self._box(path, leaf.get_raw_value(), spec, type(leaf).__name__, names)
            found.append(leaf.replace(value))
        return merge(graphdef, jax.tree.unflatten(structure, found))

    def _collection(self, path: _Path) -> str:
        """Return the first part of a path where it is the name of a collection."""
        for key in path[:1]:
            name = getattr(key, "name", getattr(key, "key", None))
            if isinstance(name, str):
                return name
        return self.argument

    def _box(
        self, path: _Path, leaf: Any, spec: Any, collection: str, names: tuple[Any, ...] = ()
    ) -> Any:
        """Lay out what is at a place: an array, a tree of them, or a box with names."""
        where = f"{self.argument}{jax.tree_util.keystr(path)}"
        if isinstance(leaf, Partitioned):
            names = tuple(leaf.names)
            spec = _of_names(leaf) if spec is None else spec
        flat, structure = jax.tree.flatten(leaf)
        placed = [self._leaf(where, value, spec, collection, names) for value in flat]
        return jax.tree.unflatten(structure, placed)

    def _leaf(
        self, where: str, value: Any, spec: Any, collection: str, names: tuple[Any, ...]
    ) -> Any:
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        if shape is None or dtype is None:
            return value  # a number, or what is part of the program
        if spec is None:
            own = getattr(value, "sharding", None)
            spec = own.spec if isinstance(own, NamedSharding) else PartitionSpec()
        _check(where, tuple(shape), spec, self.mesh)
        if not jnp.issubdtype(dtype, jax.dtypes.extended):
            dtype = jax.dtypes.canonicalize_dtype(dtype)  # float64 only where JAX is told to
        self.leaves.append(Leaf(self.argument, where, collection, tuple(shape), dtype, spec, names))
        return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(self.mesh, spec))


def _of_names(box: Partitioned[Any]) -> PartitionSpec:
    """Return how a box is laid out, logical names translated by its rules or those in force."""
    rules = getattr(box, "rules", None)
    rules = get_logical_axis_rules() if rules is None else rules
    if not hasattr(box, "rules") and not rules:
        return box.get_partition_spec()
    from ramie.linen.sharding.spmd import logical_to_mesh_axes

    if hasattr(box, "rules"):
        return logical_to_mesh_axes(box.names, rules) or PartitionSpec()
    ruled = {name for name, _ in rules}
    plain = [(name, name) for name in _axes(box.get_partition_spec()) if name not in ruled]
    return logical_to_mesh_axes(box.names, [*rules, *plain]) or PartitionSpec()


def _check(where: str, shape: tuple[int, ...], spec: PartitionSpec, mesh: AbstractMesh) -> None:
    described = ", ".join(f"{name}={size}" for name, size in mesh.shape.items())
    if not all(isinstance(size, int | np.integer) for size in shape):
        raise PlanArgumentError(
            f"{where} has the shape {shape}, but sizes have to be whole numbers. A value of --set "
            "that is not a number is passed on as text."
        )
    if len(spec) > len(shape):
        raise PlanArgumentError(
            f"{where} has {len(shape)} dimensions, and {spec} says something of {len(spec)}."
        )
    for axis in _axes(spec):
        if axis not in mesh.shape:
            raise PlanArgumentError(
                f"{where} is laid out over {axis!r}, which is no axis of the mesh ({described}). "
                f"If it is a logical name, give a rule for it: rules=[({axis!r}, 'data'), ...]."
            )
    twice = [axis for axis, count in Counter(_axes(spec)).items() if count > 1]
    if twice:
        raise PlanArgumentError(
            f"{where} is laid out by {spec}, which names {twice[0]!r} twice; an axis of the mesh "
            "divides one dimension of an array."
        )
    for number, (size, entry) in enumerate(zip(shape, spec, strict=False)):
        parts = math.prod(mesh.shape[axis] for axis in _axes((entry,)))
        if size % parts:
            raise PlanArgumentError(
                f"{where} has the shape {shape}, and {spec} divides dimension {number}, of size "
                f"{size}, into {parts} parts, which leaves a remainder (mesh: {described})."
            )


def collections_of(leaves: Sequence[Leaf], mesh: AbstractMesh) -> tuple[Collection, ...]:
    """Sum the arguments by collection, in their order."""
    found: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        found.setdefault(leaf.collection, []).append(leaf)
    return tuple(
        Collection(
            name,
            len(several),
            sum(math.prod(leaf.shape) for leaf in several),
            sum(leaf.bytes for leaf in several),
            sum(leaf.device_bytes(mesh) for leaf in several),
        )
        for name, several in found.items()
    )


def buffers_of(leaves: Sequence[Leaf], mesh: AbstractMesh) -> tuple[Buffer, ...]:
    """Return what one device holds of each argument."""
    return tuple(
        Buffer(leaf.device_bytes(mesh), str(_shard(leaf, mesh)), leaf.path, "argument")
        for leaf in leaves
    )


def _shard(leaf: Leaf, mesh: AbstractMesh) -> Leaf:
    parts = [math.prod(mesh.shape[axis] for axis in _axes((entry,))) for entry in leaf.spec]
    parts += [1] * (len(leaf.shape) - len(parts))
    shape = tuple(size // part for size, part in zip(leaf.shape, parts, strict=True))
    return dataclasses.replace(leaf, shape=shape)


def replicated_in(
    leaves: Sequence[Leaf], mesh: AbstractMesh, count: int = 10
) -> tuple[Replicated, ...]:
    """Find large arrays with copies along an axis that could divide one of their dimensions."""
    found = [row for leaf in leaves for row in _replicated(leaf, mesh)]
    found.sort(key=lambda row: -row[0])
    return tuple(row for _, row in found[:count])


def _replicated(leaf: Leaf, mesh: AbstractMesh) -> Iterator[tuple[int, Replicated]]:
    size = leaf.device_bytes(mesh)
    used = _axes(leaf.spec)
    free = [axis for axis, devices in mesh.shape.items() if axis not in used and devices > 1]
    if size < _LARGE or not free:
        return
    for axis in sorted(free, key=lambda name: -mesh.shape[name]):
        shard = _shard(leaf, mesh).shape
        fitting = [n for n, length in enumerate(shard) if length % mesh.shape[axis] == 0]
        if fitting:
            number = max(fitting, key=lambda n: (shard[n] == leaf.shape[n], shard[n]))
            saved = size - size // mesh.shape[axis]
            advice = _advice(leaf, number, axis)
            yield saved, Replicated(leaf.path, str(leaf), leaf.bytes, tuple(free), advice)
            return


def _advice(leaf: Leaf, number: int, axis: str) -> str:
    where = f"dimension {number}, of size {leaf.shape[number]}, could lie on {axis!r}"
    name = leaf.names[number] if number < len(leaf.names) else None
    if isinstance(name, str) and name != axis:
        return f"{where}: a rule ({name!r}, {axis!r})"
    entries = [*leaf.spec, *[None] * (len(leaf.shape) - len(leaf.spec))]
    held = entries[number]
    entries[number] = axis if held is None else (*_axes((held,)), axis)
    return f"{where}: {PartitionSpec(*entries)}"
