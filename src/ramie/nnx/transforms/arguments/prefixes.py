"""Prefixes: what a transformation is told of its arguments, for each leaf of them.

``in_axes``, ``in_shardings`` and the like are trees of prefixes. Where such a tree ends, a prefix
counts for all leaves below it in the arguments: a plain value for each of them alike, a
`PrefixMapping` for each according to filters. All leaves that get their prefix from one place form
a group, and a transformation of JAX is given one list per group. So it sees as many lists as there
are prefixes, whatever the arguments are.
"""

import abc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax

from ramie.nnx.graph.walk import has_identity
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.printing.text import short_text
from ramie.nnx.states.filters import Filter, PathIn, to_predicate
from ramie.nnx.states.nested import Path
from ramie.nnx.states.state import State
from ramie.nnx.variable.base import Variable

__all__ = [
    "Edge",
    "FilterPrefix",
    "Mode",
    "PrefixMapping",
    "Prefixes",
    "Slot",
    "StateSharding",
    "check_same_prefixes",
    "path_text",
]


class Mode(NamedTuple):
    """How a transformation treats modules.

    Attributes:
      graph: whether nodes may be shared; else modules are plain trees.
      updates: whether changes of structure reach the objects of the caller, and outputs may be
        objects that were passed in.
      name: what to call the transformation in messages, without ``nnx.``.
    """

    graph: bool
    updates: bool
    name: str


class PrefixMapping(abc.ABC):
    """A prefix that depends on where a leaf is in a module, and what it is."""

    @abc.abstractmethod
    def map_prefix(self, path: Path, variable: Any) -> Any:
        """Return the prefix of a leaf.

        Args:
          path: where it is in the module.
          variable: the variable or array.
        """

    def choices(self) -> Sequence[Any]:
        """Return all that `map_prefix` may return."""
        raise NotImplementedError


class FilterPrefix(PrefixMapping):
    """One prefix per filter; a leaf gets that of the first filter that takes it.

    Args:
      entries: a mapping of filters to prefixes, pairs of these, or a State of prefixes.
    """

    noun = "prefix"

    def __init__(
        self, entries: State | Mapping[Filter, Any] | Iterable[tuple[Filter, Any]], /
    ) -> None:
        if isinstance(entries, State):
            pairs: Iterable[tuple[Any, Any]] = [
                (PathIn(path), value) for path, value in entries.flat_state()
            ]
        elif isinstance(entries, Mapping):
            pairs = entries.items()
        else:
            pairs = entries
        listed = tuple(pairs)
        self._filters = tuple(filter for filter, _ in listed)
        self._prefixes = tuple(prefix for _, prefix in listed)
        self._predicates = tuple(map(to_predicate, self._filters))

    @property
    def filters(self) -> tuple[Filter, ...]:
        """The filters."""
        return self._filters

    def choices(self) -> Sequence[Any]:
        """Return the prefixes."""
        return self._prefixes

    def place(self, path: Path, variable: Any) -> int:
        """Return the number of the filter that takes a leaf.

        Raises:
          ValueError: if none does.
        """
        for number, predicate in enumerate(self._predicates):
            if predicate(path, variable):
                return number
        raise ValueError(
            f"No {self.noun} found for {path=}, {variable=}: none of the filters of {self} takes "
            "it. End with the filter `...`, which takes what is left."
        )

    def map_prefix(self, path: Path, variable: Any) -> Any:
        """Return the prefix of a leaf; see `PrefixMapping.map_prefix`.

        Raises:
          ValueError: if no filter takes it.
        """
        return self._prefixes[self.place(path, variable)]

    def __repr__(self) -> str:
        entries = zip(self._filters, self._prefixes, strict=True)
        shown = ", ".join(f"{short_text(filter)}: {prefix!r}" for filter, prefix in entries)
        return f"{type(self).__name__}({{{shown}}})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, FilterPrefix)
            and type(other) is type(self)
            and self._filters == other._filters
            and self._prefixes == other._prefixes
        )

    def __hash__(self) -> int:
        return hash((type(self), self._filters, self._prefixes))


class StateSharding(FilterPrefix):
    """Shardings of the variables of a module by filter, for `jit` and `shard_map`.

    Args:
      filter_sharding: a mapping of filters to shardings, pairs of these, or a State of shardings.

    Example:
        >>> import jax
        >>> from ramie import nnx
        >>> nnx.StateSharding({nnx.Param: jax.P("data"), ...: None}).shardings
        (P('data',), None)
    """

    noun = "sharding"

    def __init__(
        self, filter_sharding: State | Mapping[Filter, Any] | Iterable[tuple[Filter, Any]], /
    ) -> None:
        super().__init__(filter_sharding)

    @property
    def shardings(self) -> tuple[Any, ...]:
        """The shardings, in the order of the filters."""
        return self._prefixes


class Slot(NamedTuple):
    """A place where a tree of prefixes ends.

    Attributes:
      first: the number of its first group.
      mapping: decides among its groups; None if there is one.
    """

    first: int
    mapping: PrefixMapping | None

    def place(self, path: Path, leaf: Any) -> int:
        """Return the group of a leaf, given its path from the root on."""
        mapping = self.mapping
        if mapping is None:
            return self.first
        if isinstance(mapping, FilterPrefix):
            return self.first + mapping.place(path, leaf)
        return self.first + list(mapping.choices()).index(mapping.map_prefix(path, leaf))


class Prefixes:
    """A tree of prefixes, taken apart once.

    Args:
      tree: the prefixes.
      name: what the tree is called, such as ``in_axes``.
      mode: of the transformation.

    Raises:
      ValueError: if something in it cannot be a prefix in this mode.
    """

    def __init__(self, tree: Any, name: str, mode: Mode) -> None:
        _check(tree, name, mode)
        self._treedef: Any
        ends, self._treedef = jax.tree_util.tree_flatten(tree, is_leaf=_is_end)
        self.name = name
        self.values: tuple[Any, ...] = ()
        slots: list[Slot] = []
        for end in ends:
            mapping = end if isinstance(end, PrefixMapping) else None
            slots.append(Slot(len(self.values), mapping))
            self.values += (end,) if mapping is None else tuple(mapping.choices())
        self.slots = tuple(slots)
        # A container of one prefix is none: its structure has to be compared.
        is_bare = len(slots) == 1 and self._treedef.num_nodes == 1
        self.is_uniform = is_bare and slots[0].mapping is None
        self.are_equal = all(value == self.values[0] for value in self.values[1:])
        self.goes_inside = self._goes_inside(tree)

    def _goes_inside(self, tree: Any) -> bool:
        """Tell whether some prefix is inside of a module, as in those that `nnx.prefix` makes."""
        found = jax.tree_util.tree_leaves(
            tree, is_leaf=lambda x: _is_end(x) or isinstance(x, Pytree)
        )
        return any(isinstance(x, Pytree) for x in found)

    def slots_of(self, tree: Any) -> list["Slot"]:
        """Return the slot of each root of a tree: of each Pytree, variable, reference or value."""
        return [
            slot
            for slot, subtree in zip(self.slots, self.subtrees(tree), strict=True)
            for _ in jax.tree_util.tree_leaves(subtree, is_leaf=has_identity)
        ]

    def subtrees(self, tree: Any) -> list[Any]:
        """Return the part of a tree that belongs to each slot.

        Raises:
          ValueError: if the prefixes are no prefix of the tree.
        """
        try:
            return list(self._treedef.flatten_up_to(tree))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"The tree of prefixes `{self.name}` does not fit the values: {error}. Where it "
                "branches, the values have to branch in the same way."
            ) from None


class Edge(Protocol):
    """What `Operands` and `Inside` know of the boundary that makes them.

    Attributes:
      mode: how modules are treated.
      inputs: prefixes of the arguments.
      outputs: prefixes of the output.
      last: the outline of the arguments of the last call, to be used again if it is the same.
    """

    mode: Mode
    inputs: Prefixes
    outputs: Prefixes
    last: Any


def _is_end(x: Any) -> bool:
    return x is None or isinstance(x, PrefixMapping)


def _check(tree: Any, name: str, mode: Mode) -> None:
    def is_leaf(x: Any) -> bool:
        return _is_end(x) or isinstance(x, Variable) or (mode.graph and isinstance(x, Pytree))

    full = f"nnx.{mode.name}"
    for path, x in jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_leaf)[0]:
        where = f"at path {path_text(path)} in `{name}` for {full}"
        if isinstance(x, Variable):
            raise ValueError(
                f"Found Variable of type {type(x).__name__} {where}. Variables prefixes are not "
                "supported: write the prefix itself in place of the whole Variable."
            )
        if isinstance(x, Pytree) and mode.graph:
            raise ValueError(
                f"Found graph node of type {type(x).__name__} {where}. Graph nodes are not allowed "
                "as prefixes when graph=True. Use plain prefixes, or a prefix that was made with "
                f"nnx.prefix(..., graph=True), or tree mode: {full}(..., graph=False)."
            )
        if isinstance(x, FilterPrefix) and not (mode.graph and mode.updates):
            raise ValueError(
                f"`{name}` cannot contain `{type(x).__name__}` objects when `graph=False` or "
                f"`graph_updates=False`. Use nnx.prefix(...) for the prefixes, or switch both on: "
                f"{full}(..., graph=True, graph_updates=True), which nnx.compat.{mode.name} does."
            )


def path_text(path: Iterable[Any]) -> str:
    """Write a key path of JAX, or a path of keys, as Python would."""
    parts = list(path)
    if all(hasattr(part, "key") or hasattr(part, "idx") or hasattr(part, "name") for part in parts):
        return jax.tree_util.keystr(tuple(parts))
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in parts)


def check_same_prefixes(
    met: Iterator[tuple[Any, Path, Any]], is_checked: Callable[[Any], bool]
) -> None:
    """Check that a variable that is met several times has one prefix.

    Args:
      met: variables and arrays, each with the path and the prefix.
      is_checked: says which of them count.

    Raises:
      ValueError: naming the variables, and their paths and prefixes.
    """
    places: dict[int, tuple[Any, list[tuple[Path, Any]]]] = {}
    for leaf, path, prefix in met:
        if is_checked(leaf):
            places.setdefault(id(leaf), (leaf, []))[1].append((path, prefix))
    wrong = []
    for leaf, its_places in places.values():
        if any(prefix != its_places[0][1] for _, prefix in its_places[1:]):
            lines = [
                f"  {path_text(path).lstrip('.') or '<root>'}: {prefix}"
                for path, prefix in its_places
            ]
            wrong.append("\n".join([f"Node: {type(leaf).__name__}", *lines]))
    if wrong:
        raise ValueError(
            "Inconsistent aliasing detected. The following nodes have different prefixes:\n"
            + "\n".join(wrong)
            + "\nA variable that is shared between arguments or outputs has to get the same "
            "prefix wherever it occurs."
        )
