"""GraphDef: the structure of a model without its arrays, hashed once.

A structure is the list of what a walk meets, in order: each node before its children. Equal
structures are one object while either is alive, so comparing two of them, or hashing one for the
hundredth time, looks at one integer.
"""

import weakref
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import jax

from ramie.nnx.objects.layout import Layout
from ramie.nnx.printing.text import Parts, describe, short_text
from ramie.nnx.states.nested import Path, Plan
from ramie.nnx.variable.metadata import REQUIRED
from ramie.nnx.variable.metadata import VariableDef as VariableDef

__all__ = [
    "LEAF",
    "REF",
    "ContainerDef",
    "GraphDef",
    "NodeDef",
    "NodeRef",
    "Static",
    "TreeNodeDef",
    "VariableDef",
    "structure_of",
]

A_co = TypeVar("A_co", covariant=True)


class NodeDef(NamedTuple):
    """An object of a Pytree class, met for the first time. Its children follow.

    Attributes:
      type: the class.
      layout: names of its attributes, and which of them are data.
      statics: values of the static ones, in the order of the layout.
      kinds: the classes of these, so that 1, 1.0 and True differ.
      life: what the object knows of its own life.
    """

    type: type
    layout: Layout
    statics: tuple[Any, ...]
    kinds: tuple[Any, ...]
    life: tuple[bool, bool]

    def __reduce__(self) -> tuple[Any, ...]:
        return _node_def, (self.type, self.layout, self.statics, self.life)


class NodeRef(NamedTuple):
    """An object or variable that was met before.

    Attributes:
      index: its number among all of them.
    """

    index: int  # type: ignore[assignment]  # a field, not the method of tuples


class Static(NamedTuple):
    """A value that is part of the structure, such as a number in a list.

    Attributes:
      kind: its class.
      value: the value.
    """

    kind: type
    value: Any

    def __reduce__(self) -> tuple[Any, ...]:
        return _static, (self.value,)


class ContainerDef(NamedTuple):
    """A list, tuple, dictionary or other pytree. Its children follow.

    Attributes:
      kind: the class; of other pytrees their structure in JAX.
      keys: one for each child.
    """

    kind: Any
    keys: tuple[Any, ...]


# Pickle has no names for some classes of values, such as that of functions.
TreeNodeDef: TypeAlias = NodeDef | VariableDef | ContainerDef
"""What stands in a structure for a node of a tree: anything but a reference."""


def _node_def(kind: type, layout: Layout, statics: tuple[Any, ...], life: Any) -> NodeDef:
    return NodeDef(kind, layout, statics, tuple(map(type, statics)), life)


def _static(value: Any) -> Static:
    return Static(type(value), value)


class _Leaf:
    """Stands for an array, or for an array reference.

    Args:
      name: of the constant.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return self.name


LEAF = _Leaf("LEAF")
"""An array: at each place where it is met it counts anew."""
REF = _Leaf("REF")
"""An array reference: met again, it is the same."""
Entry: TypeAlias = NodeDef | VariableDef | NodeRef | Static | ContainerDef | _Leaf


class GraphDef(Generic[A_co]):
    """The structure of a model: classes, static values, metadata, and which nodes are shared.

    It is hashable if all static values are, and a pytree without leaves; `merge` builds a model of
    it and a state. `split` makes it.

    Attributes:
      nodes: what a walk meets, in order.
      num_leaves: how many variables and arrays the state has.
      paths: where they are.
      leaf_definitions: what each of them is: a VariableDef, LEAF or REF.
      num_objects: how many Pytrees, variables and array references there are.
      is_tree: whether nothing is shared, and all classes are pytrees.
      has_values: whether plain values stand in containers; leaves in tree mode, else structure.

    Example:
        >>> from ramie import nnx
        >>> graphdef, state = nnx.split(nnx.Dict(a=nnx.Param(1), b=2))
        >>> graphdef.num_leaves, graphdef == nnx.graphdef(nnx.Dict(a=nnx.Param(3), b=2))
        (1, True)
    """

    __slots__ = (
        "__weakref__",
        "_hash",
        "has_values",
        "is_tree",
        "leaf_definitions",
        "nodes",
        "num_leaves",
        "num_objects",
        "paths",
        "plan",
    )

    _nnx_shows_arrays = False
    nodes: tuple[Entry, ...]
    num_leaves: int
    paths: tuple[Path, ...]
    plan: Plan
    is_tree: bool
    has_values: bool
    num_objects: int
    leaf_definitions: tuple[Any, ...]
    _hash: int | None

    def __init__(self, nodes: Sequence[Entry]) -> None:
        self.nodes = tuple(nodes)
        paths: list[Path] = []
        plan, _, _ = _planned(self.nodes, 0, (), paths)
        self.plan = plan if isinstance(plan, tuple) else ()
        self.paths = tuple(paths)
        self.num_leaves = len(paths)
        self.leaf_definitions = tuple(
            entry for entry in self.nodes if isinstance(entry, _Leaf | VariableDef)
        )
        self.num_objects = sum(
            entry is REF or isinstance(entry, NodeDef | VariableDef) for entry in self.nodes
        )
        self.is_tree = all(map(_is_in_trees, self.nodes))
        self.has_values = any(
            isinstance(entry, Static) and entry.value is not None for entry in self.nodes
        )
        try:
            self._hash = hash(self.nodes)
        except TypeError:
            self._hash = None

    def __hash__(self) -> int:
        return hash(self.nodes) if self._hash is None else self._hash  # or says what has no hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, GraphDef) or (self._hash is not None and other._hash is not None):
            return False  # of what has a hash there are no two equal ones
        return self.nodes == other.nodes

    def _nnx_parts(self) -> Parts:
        shown, _ = _shown(self.nodes, 0, (), [])
        note = f"leaves: {self.num_leaves:,}, objects: {self.num_objects:,}"
        return f"GraphDef( # {note}", [("", shown)], ")"

    def __repr__(self) -> str:
        return describe(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return structure_of, (self.nodes,)

    def __deepcopy__(self, memo: dict[int, Any]) -> "GraphDef[A_co]":
        return self


_WORDS = {"LEAF": "array", "REF": "array reference"}


class _Shown:
    """A part of a structure in the form of the object that it stands for.

    Args:
      parts: what `describe` prints.
    """

    _nnx_shows_arrays = False
    _nnx_is_short = True

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def _nnx_parts(self) -> Any:
        return self.parts

    def __repr__(self) -> str:
        return describe(self)


def _shown(nodes: Sequence[Entry], start: int, path: Path, met: list[Path]) -> tuple[Any, int]:
    """Return the entry `start` and what is below it in a form to print, and the entry after these.

    Args:
      nodes: all entries.
      start: which of them.
      path: where it is in the model.
      met: the paths of objects that were met before, to which this adds.
    """
    entry = nodes[start]
    if isinstance(entry, NodeRef):
        first = met[entry.index] if entry.index < len(met) else (f"object {entry.index}",)
        return _Shown(f"the same as {'.'.join(map(str, first)) or 'all of it'}", [], ""), start + 1
    if isinstance(entry, Static):
        return entry.value, start + 1
    if entry is REF or isinstance(entry, NodeDef | VariableDef):
        met.append(path)
    keys: Sequence[Any] = ()
    if isinstance(entry, NodeDef):
        keys = entry.layout.data_keys
    elif isinstance(entry, ContainerDef):
        keys = entry.keys
    place, children = start + 1, []
    for key in keys:
        child, place = _shown(nodes, place, (*path, key), met)
        children.append((key, child))
    return _around(entry, children), place


def _around(entry: Any, children: list[tuple[Any, Any]]) -> Any:
    """Return a node with its children, as an object of its class prints."""
    if isinstance(entry, _Leaf):
        return _Shown(_WORDS[entry.name], [], "")
    if isinstance(entry, ContainerDef):
        if entry.kind is dict:
            return dict(children)
        if entry.kind in (list, tuple):
            return entry.kind(child for _, child in children)
        data = entry.kind.node_data() if isinstance(entry.kind, jax.tree_util.PyTreeDef) else None
        name, given = short_text(data[0] if data else entry.kind), children
    elif isinstance(entry, VariableDef):
        name = entry.type.__name__
        given = [pair for pair in entry.metadata.items() if pair not in REQUIRED.items()]
    else:
        name = entry.type.__name__
        given = [*children, *zip(entry.layout.static, entry.statics, strict=True)]
        if entry.layout.as_index:
            given = sorted(given, key=lambda pair: int(pair[0]))
            return _Shown(f"{name}([", [("", value) for _, value in given], "])")
    if not given:
        return _Shown(name, [], "")
    return _Shown(f"{name}(", [(f"{key}=", value) for key, value in given], ")")


def _is_in_trees(entry: Entry) -> bool:
    if isinstance(entry, NodeDef):
        return bool(entry.type._pytree__is_pytree)  # type: ignore[attr-defined]
    return not isinstance(entry, NodeRef)


jax.tree_util.register_pytree_node(
    GraphDef, lambda graphdef: ((), graphdef), lambda graphdef, _: graphdef
)


class _Key:
    """Entries with their hash, which is needed once more when the structure dies.

    Classes of static values may not answer any longer then, as at the end of the program.

    Args:
      entries: of a structure.
    """

    __slots__ = ("entries", "hash")

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        self.hash = hash(entries)

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.entries == other.entries


_interned: "weakref.WeakValueDictionary[_Key, GraphDef[Any]]" = weakref.WeakValueDictionary()


def structure_of(nodes: Sequence[Entry]) -> GraphDef[Any]:
    """Return the one structure with these entries, or a new one if some entry has no hash."""
    entries = tuple(nodes)
    try:
        key = _Key(entries)
    except TypeError:
        return GraphDef(entries)
    known = _interned.get(key)
    return _interned.setdefault(key, GraphDef(entries)) if known is None else known


def _planned(
    nodes: Sequence[Entry], start: int, path: Path, paths: list[Path]
) -> tuple[Plan | int | None, int, bool]:
    """Find the paths of the leaves from entry `start` on.

    Returns:
      The nesting of what starts there (the number of a leaf; None for what has none), the entry
      after it, and whether it has leaves.
    """
    entry = nodes[start]
    if isinstance(entry, _Leaf | VariableDef):
        paths.append(path)
        return len(paths) - 1, start + 1, True
    keys: Sequence[Any] = ()
    if isinstance(entry, NodeDef):
        keys = entry.layout.data_keys
    elif isinstance(entry, ContainerDef):
        keys = entry.keys
    here: list[tuple[Any, Any]] = []
    place = start + 1
    for key in keys:
        plan, place, has_leaves = _planned(nodes, place, (*path, key), paths)
        if has_leaves:
            here.append((key, plan))
    return tuple(here), place, bool(here)
