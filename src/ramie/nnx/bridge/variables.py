"""Variables of NNX as entries of Linen's collections, and back, with their metadata."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import jax
from jax.sharding import Mesh, PartitionSpec

from ramie.core import meta
from ramie.nnx.sharding import axes, specs
from ramie.nnx.states.nested import Path, raw
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.kinds import variable_name_from_type, variable_type_from_name
from ramie.nnx.variable.metadata import HOOKS
from ramie.trees import struct
from ramie.trees.frozen import unfreeze

__all__ = [
    "NNXMeta",
    "collections_of",
    "get_col_name",
    "is_vanilla_variable",
    "linen_vars_to_nnx_attrs",
    "nnx_attrs_to_linen_vars",
    "sort_variable_types",
    "to_linen_var",
    "to_nnx_var",
    "with_partitioning",
]

A = TypeVar("A")
_BOX = "linen_meta_type"


def sort_variable_types(types: Iterable[type]) -> list[type]:
    """Sort kinds of variables so that each comes before those it is derived from.

    Example:
        >>> from ramie import nnx
        >>> [kind.__name__ for kind in sort_variable_types([nnx.Variable, nnx.Param])]
        ['Param', 'Variable']
    """
    return sorted(types, key=lambda kind: -len(kind.__mro__))


class NNXMeta(struct.PyTreeNode, meta.AxisMetadata[A]):
    """A box in a collection of Linen around the value of a variable of NNX, with its metadata.

    Attributes:
      var_type: the kind of variable.
      value: the value.
      metadata: the entries.
    """

    var_type: type[Variable[Any]] = struct.field(pytree_node=False)
    value: Any = struct.field(pytree_node=True)
    metadata: dict[str, Any] = struct.field(pytree_node=False)

    def unbox(self) -> Any:
        """Return the value."""
        return self.value

    def replace_boxed(self, val: Any) -> "NNXMeta[Any]":
        """Return a box of the same kind around another value."""
        return self.replace(value=val)

    def add_axis(self, index: int, params: dict[Any, Any]) -> "NNXMeta[A]":
        """Return the box for a value with one more axis.

        Args:
          index: where the axis is.
          params: may name it, as ``partition_name``; else nothing changes.

        Differs from Flax: names of axes are kept in step with the axes.
        """
        return self._with_axes(axes.add_axis, index, params)

    def remove_axis(self, index: int, params: dict[Any, Any]) -> "NNXMeta[A]":
        """Return the box for a value with one axis less; see `add_axis`."""
        return self._with_axes(axes.remove_axis, index, params)

    def _with_axes(
        self, change: Callable[..., Any], index: int, params: dict[Any, Any]
    ) -> "NNXMeta[A]":
        if meta.PARTITION_NAME not in params:
            return self
        variable = self._variable(eager_sharding=False)
        change(variable, index, params)
        entries = variable.get_metadata()
        if "eager_sharding" in self.metadata:
            entries["eager_sharding"] = self.metadata["eager_sharding"]
        else:
            entries = {name: entry for name, entry in entries.items() if name in self.metadata}
        return self.replace(metadata=entries)

    def get_partition_spec(self) -> PartitionSpec:
        """Return the names of the axes by the rules in force, as a PartitionSpec."""
        spec = specs.get_var_pspec(self._variable(eager_sharding=False))
        return PartitionSpec() if spec is None else spec

    def to_nnx_variable(self) -> Variable[Any]:
        """Return the variable."""
        return self.var_type(self.value, **self.metadata)

    def _variable(self, **metadata: Any) -> Variable[Any]:
        return self.var_type.from_metadata(self.value, {**self.metadata, **metadata})


def is_vanilla_variable(vs: Variable[Any]) -> bool:
    """Tell whether a variable has no metadata worth a box: no hooks, and no entries of users."""
    return not any(
        entry or name not in HOOKS
        for name, entry in vs.get_metadata(exclude_required=True).items()
        if not (name in HOOKS and entry is getattr(type(vs), name, None))
    )


def to_linen_var(vs: Variable[Any]) -> Any:
    """Return what Linen keeps of a variable: the value, in a box if there is metadata.

    Args:
      vs: the variable. If it came out of a box of Linen, it goes back into one like that, which
        is made by `from_nnx_metadata` of its class if it has that.
    """
    entries = vs.get_metadata()
    value = vs.get_raw_value()
    box = entries.pop(_BOX, None)
    if box is None:
        return value if is_vanilla_variable(vs) else NNXMeta(type(vs), value, _worth_keeping(vs))
    entries = vs.get_metadata(exclude_required=True)
    del entries[_BOX]
    if hasattr(box, "from_nnx_metadata"):
        return box.from_nnx_metadata({"value": value, **entries})
    known = {field.name for field in dataclasses.fields(box)} - {"value"}
    return box(value, **{name: entry for name, entry in entries.items() if name in known})


def _worth_keeping(vs: Variable[Any]) -> dict[str, Any]:
    """Return the metadata of a variable, but for settings that each variable has by default."""
    entries = vs.get_metadata()
    defaults = Variable(None).get_metadata()
    optional = vs.get_metadata(exclude_required=True)
    return {
        name: entry
        for name, entry in entries.items()
        if name in optional or entry != defaults.get(name)
    }


def to_nnx_var(col: str, x: Any) -> Variable[Any]:
    """Return the variable for an entry of a collection of Linen.

    Args:
      col: the name of the collection, which tells the kind; a new one makes a new kind.
      x: a value, perhaps in a box, which becomes metadata: what its `to_nnx_metadata` says, or its
        fields if it has none.

    Raises:
      ValueError: if `x` is a box of NNX for another kind.
    """
    kind = variable_type_from_name(col, allow_register=True)
    if isinstance(x, NNXMeta):
        if x.var_type is not kind:
            raise ValueError(
                f"Type stored in NNXMeta {x.var_type} != type inferred from collection name "
                f"{kind}: the collection {col!r} holds other variables."
            )
        return x.to_nnx_variable()
    if not isinstance(x, meta.AxisMetadata):
        return kind(x)
    if hasattr(x, "to_nnx_metadata"):
        held = {name: entry for name, entry in x.to_nnx_metadata().items() if name != "value"}
    else:
        fields: Any = dataclasses.fields(x) if dataclasses.is_dataclass(x) else ()
        held = {f.name: getattr(x, f.name) for f in fields if f.name != "value"}
    held[_BOX] = type(x)
    return kind(x.unbox(), **held)


def get_col_name(keypath: Sequence[Any]) -> str:
    """Return the collection that a key path through variables of Linen begins with."""
    if not keypath or not hasattr(keypath[0], "key"):
        raise ValueError(f"A path through collections begins with the name of one, not {keypath!r}")
    name: str = keypath[0].key
    return name


def linen_vars_to_nnx_attrs(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Turn collections of Linen into attributes: variables, by name and nested.

    Args:
      variables: collections by name.

    Raises:
      ValueError: if two collections have something at the same path.

    Example:
        >>> attributes = linen_vars_to_nnx_attrs({"params": {"a": 1}, "batch_stats": {"b": 2}})
        >>> [(name, type(variable).__name__) for name, variable in sorted(attributes.items())]
        [('a', 'Param'), ('b', 'BatchStat')]
    """
    attributes: dict[str, Any] = {}
    for collection in sorted(variables):
        _put(attributes, unfreeze(raw(variables[collection])), collection, ())
    return attributes


def _put(attributes: dict[str, Any], tree: Mapping[str, Any], col: str, path: Path) -> None:
    for name, x in tree.items():
        here = (*path, name)
        known = attributes.get(name)
        if isinstance(x, Mapping):
            if isinstance(known, Variable):
                raise _duplicate(here, known, col)
            _put(attributes.setdefault(name, {}), x, col, here)
        elif known is not None:
            raise _duplicate(here, known, col)
        else:
            attributes[name] = to_nnx_var(col, x)


def _duplicate(path: Path, known: Any, col: str) -> ValueError:
    there = type(known).__name__ if isinstance(known, Variable) else "other variables"
    return ValueError(
        f"Found duplicate variable path {path}: the collection {col!r} has something where there "
        f"is {there} already. This is not allowed in NNX, where a module has one attribute of a "
        "name."
    )


def collections_of(
    leaves: Iterable[tuple[Path, Any]],
    metadata_fn: Callable[[Variable[Any]], Any] | None = to_linen_var,
    allow_register: bool = False,
) -> dict[str, Any]:
    """Sort variables by path into collections, named after their kinds.

    Args:
      leaves: paths and variables.
      metadata_fn: what to keep of a variable; None for the value.
      allow_register: whether a kind without a name gets that of its class.

    Raises:
      ValueError: if something is no variable, or its kind has no name.
    """
    found: dict[str, Any] = {}
    for path, leaf in leaves:
        if not isinstance(leaf, Variable):
            raise ValueError(
                f"Cannot infer collection name from value: {type(leaf).__name__} at {path}. Only "
                "variables tell their collection by their kind."
            )
        col = variable_name_from_type(type(leaf), allow_register=allow_register)
        tree = found.setdefault(col, {})
        for key in path[:-1]:
            tree = tree.setdefault(key, {})
        tree[path[-1]] = leaf.get_raw_value() if metadata_fn is None else metadata_fn(leaf)
    return found


def nnx_attrs_to_linen_vars(nnx_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Turn variables by name, nested, into collections of Linen: the way back.

    Raises:
      ValueError: if something is no variable, or its kind has no registered name.

    Example:
        >>> from ramie import nnx
        >>> nnx_attrs_to_linen_vars({"layer": {"a": nnx.Param(1)}})
        {'params': {'layer': {'a': 1}}}
    """
    flat, _ = jax.tree_util.tree_flatten_with_path(
        nnx_attrs, is_leaf=lambda x: isinstance(x, Variable)
    )
    return collections_of((tuple(entry.key for entry in path), leaf) for path, leaf in flat)


def with_partitioning(
    fn: Callable[..., Any], names: tuple[str | None, ...], mesh: Mesh | None = None
) -> Callable[..., Any]:
    """Wrap an initializer for `Module.param` of the bridge, as `linen.with_partitioning` does.

    Args:
      fn: the initializer.
      names: of the axes.
      mesh: where they are, if not in the surrounding mesh.
    """
    box: Any = meta.Partitioned
    return specs.with_partitioning(fn, names, mesh=mesh, **{_BOX: box})
