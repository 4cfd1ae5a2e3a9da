"""Outline and Result: what passes through a transformation beside values. They have no leaves."""

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from ramie.core.tracing.trace import trace_token
from ramie.nnx.graph.structure import LEAF, GraphDef, VariableDef
from ramie.nnx.graph.walk import build
from ramie.nnx.states.nested import Path
from ramie.nnx.transforms.arguments.structures import leaf_paths

__all__ = ["Linked", "Outline", "Result", "only_changed", "with_references"]


def with_references(leaves: Sequence[Any], numbers: tuple[int, ...]) -> Sequence[Any]:
    """Make array references of some values; a shape alone, from `eval_shape`, stays what it is."""
    if not numbers:
        return leaves
    changed = list(leaves)
    for number in numbers:
        if not isinstance(changed[number], jax.ShapeDtypeStruct):
            changed[number] = jax.new_ref(changed[number])
    return changed


class Outline:
    """The structure of a tree with modules and variables in it.

    Args:
      treedef: of the tree, with each Pytree, variable and array reference as a leaf: the roots.
      definitions: what each root is: a GraphDef, a VariableDef, LEAF or REF. If roots share
        objects, one GraphDef for all of them.
      shared: whether they do.
      places: the group of each leaf; None if there is one group.
      note: something more.
      references: numbers of the leaves that come as values, and become array references.

    Attributes:
      num_leaves: how many values there are.
    """

    __slots__ = (
        "_hash",
        "definitions",
        "note",
        "num_leaves",
        "places",
        "references",
        "shared",
        "treedef",
    )

    def __init__(
        self,
        treedef: Any,
        definitions: tuple[Any, ...],
        shared: bool = False,
        places: tuple[int, ...] | None = None,
        note: Hashable = None,
        references: tuple[int, ...] = (),
    ) -> None:
        self.treedef = treedef
        self.definitions = definitions
        self.shared = shared
        self.places = places
        self.note = note
        self.references = references
        self.num_leaves = sum(x.num_leaves if type(x) is GraphDef else 1 for x in definitions)
        self._hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.treedef, self.definitions, self.places, self.note))
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Outline)
            and self.definitions == other.definitions
            and self.treedef == other.treedef
            and self.shared == other.shared
            and self.places == other.places
            and self.note == other.note
            and self.references == other.references
        )

    def __repr__(self) -> str:
        return f"Outline({self.treedef}, {self.definitions}, places={self.places})"

    def place(self, number: int) -> int:
        """Return the group of a leaf."""
        return 0 if self.places is None else self.places[number]

    def joined(self, groups: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the values of all groups in the order of the leaves."""
        if self.places is None:
            return list(groups[0])
        following = [iter(group).__next__ for group in groups]
        return [following[place]() for place in self.places]

    def roots(
        self, leaves: Sequence[Any], made: list[Any] | None = None, filled: list[Any] | None = None
    ) -> list[Any]:
        """Build the roots.

        Args:
          leaves: values.
          made: gets the objects, in the order in which they are met.
          filled: gets what takes the place of each leaf.
        """
        leaves = with_references(leaves, self.references)
        made = [] if made is None else made
        filled = [] if filled is None else filled
        if self.shared:
            return list(build(self.definitions[0], leaves, made=made, filled=filled))
        found: list[Any] = []
        trace = trace_token()
        position = 0
        for definition in self.definitions:
            if definition.__class__ is GraphDef:
                end = position + definition.num_leaves
                its_objects: list[Any] = []
                root = build(definition, leaves[position:end], made=its_objects, filled=filled)
                made.extend(its_objects)
                position = end
            else:
                root = leaves[position]
                position += 1
                if isinstance(definition, VariableDef) and not isinstance(root, definition.type):
                    root = definition.type._make(root, definition.metadata, trace)  # type: ignore[attr-defined]
                if definition is not LEAF:
                    made.append(root)
                filled.append(root)
            found.append(root)
        return found

    def tree(self, roots: Iterable[Any]) -> Any:
        """Put the tree together."""
        return jax.tree_util.tree_unflatten(self.treedef, roots)

    def of_group(self, group: int, items: Sequence[Any]) -> list[Any]:
        """Return those of some items, one per leaf, whose leaf is in a group."""
        if self.places is None:
            return list(items)
        return [x for x, place in zip(items, self.places, strict=True) if place == group]

    def paths(self) -> list[Path]:
        """Return the path of each leaf through the tree."""
        roots = list(leaf_paths(self.treedef))
        if self.shared:
            # The first key is the number of a root.
            return [(*roots[number], *path) for number, *path in self.definitions[0].paths]
        found: list[Path] = []
        for root, definition in zip(roots, self.definitions, strict=True):
            inner = definition.paths if definition.__class__ is GraphDef else ((),)
            found.extend((*root, *path) for path in inner)
        return found

    def leaf_definitions(self) -> list[Any]:
        """Return for each leaf what it is: a VariableDef, LEAF or REF."""
        found: list[Any] = []
        for definition in self.definitions:
            if definition.__class__ is GraphDef:
                found.extend(definition.leaf_definitions)
            else:
                found.append(definition)
        return found

    def leaves_by_root(self) -> Iterator[tuple[int, Path, Any]]:
        """List for each leaf the number of its root, the path from there, and what it is."""
        definitions = self.definitions
        if self.shared:
            joint = definitions[0]
            for (root, *path), kind in zip(joint.paths, joint.leaf_definitions, strict=True):
                yield root, tuple(path), kind
            return
        for root, definition in enumerate(definitions):
            if definition.__class__ is GraphDef:
                for inner, kind in zip(definition.paths, definition.leaf_definitions, strict=True):
                    yield root, inner, kind
            else:
                yield root, (), definition

    def attribute_arrays(self) -> list[int]:
        """Return the numbers of the leaves that are arrays inside of a module."""
        found: list[int] = []
        position = 0
        for definition in self.definitions:
            if definition.__class__ is not GraphDef:
                position += 1
                continue
            pairs = zip(definition.leaf_definitions, definition.paths, strict=True)
            for kind, path in pairs:
                if kind is LEAF and len(path) > self.shared:
                    found.append(position)
                position += 1
        return found


class Linked(NamedTuple):
    """The structure of arguments and output together, after a function changed or shared them.

    Attributes:
      graphdef: of the roots of the arguments, followed by those of the output.
      num_inputs: how many of them are the arguments'.
      sources: for each object, its number among those of the arguments, or None for a new one.
      leaf_sources: for each leaf the same.
      takes: for each leaf the group of its value; or -1 minus the number of the leaf of the
        arguments whose value it keeps.
      references: numbers of the leaves that come as values, and become array references.
    """

    graphdef: GraphDef[Any]
    num_inputs: int
    sources: tuple[int | None, ...]
    leaf_sources: tuple[int | None, ...]
    takes: tuple[int, ...]
    references: tuple[int, ...] = ()


class Result(NamedTuple):
    """What a function did, but for values.

    Attributes:
      outline: of the output; if `linked`, only its treedef counts.
      written: numbers of the leaves of the arguments that got new values, in the order of groups.
      redefined: variables of the arguments with other metadata, by number of the leaf.
      linked: what replaces all that if structure changed.
    """

    outline: Outline
    written: tuple[int, ...] = ()
    redefined: tuple[tuple[int, VariableDef], ...] = ()
    linked: Linked | None = None


def only_changed(returned: Sequence[Any], changed: Collection[int]) -> tuple[Any, ...]:
    """Drop values that a function returned of variables it did not change.

    They may belong to another trace, and could not be written. Where structure changed, nothing is
    dropped.

    Args:
      returned: what `Inside.leave` returned.
      changed: numbers of the leaves that did change.
    """
    result: Result = returned[0]
    if result.linked is not None or all(number in changed for number in result.written):
        return tuple(returned)
    numbers = iter(result.written)
    groups: list[Any] = []
    count = 0
    for group in returned[1:]:
        if count == len(result.written):  # those of the output follow
            groups.append(group)
            continue
        pairs = [(next(numbers), value) for value in group]
        groups.append([value for number, value in pairs if number in changed])
        count += len(pairs)
    written = tuple(number for number in result.written if number in changed)
    return result._replace(written=written), *groups


for _kind in (Outline, Result):
    jax.tree_util.register_pytree_node(_kind, lambda x: ((), x), lambda x, _: x)
