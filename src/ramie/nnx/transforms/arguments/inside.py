"""Inside: arguments put together inside of a transformation, and what a function did to them."""

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import jax
from jax.tree_util import tree_flatten, tree_map

from ramie.nnx.graph.structure import LEAF, GraphDef, VariableDef
from ramie.nnx.graph.walk import has_identity, walk
from ramie.nnx.transforms.arguments.checks import (
    is_tree,
    met,
    placed,
    refuse_captured,
    refuse_graph,
    value_of,
)
from ramie.nnx.transforms.arguments.outline import Linked, Outline, Result
from ramie.nnx.transforms.arguments.prefixes import Edge, check_same_prefixes
from ramie.nnx.variable.base import Variable

__all__ = ["Inside"]


class Inside:
    """Arguments inside of a transformation.

    Args:
      edge: the boundary.
      outline: of the arguments.
      groups: their values, traced.

    Attributes:
      tree: the arguments, made of new objects.
      returned: after `leave`, the numbers of the leaves whose value it returned.
    """

    __slots__ = (
        "_always",
        "_edge",
        "_filled",
        "_made",
        "_outline",
        "_roots",
        "_values",
        "returned",
        "tree",
    )

    def __init__(self, edge: Edge, outline: Outline, groups: Sequence[Sequence[Any]]) -> None:
        self._edge = edge
        self._outline = outline
        self._always: Collection[int] = ()
        self.returned: set[int] = set()
        self._values = outline.joined(groups)
        self._made: list[Any] = []
        self._filled: list[Any] = []
        # A value that is a container may be edited in place; what it was is needed later.
        own = [x if isinstance(x, jax.Array) else tree_map(_itself, x) for x in self._values]
        self._roots = outline.roots(own, self._made, self._filled)
        self.tree = outline.tree(self._roots)

    def leaves(self, group: int) -> list[Any]:
        """Return variables and arrays of a group."""
        return self._outline.of_group(group, self._filled)

    def changed(self) -> set[int]:
        """Return the numbers of the leaves whose value is another one than in the beginning."""
        return {number for number in range(len(self._filled)) if self._has_changed(number)}

    def _has_changed(self, number: int) -> bool:
        leaf, before = self._filled[number], self._values[number]
        now = value_of(leaf)
        if now is before:
            return False
        structure: Any
        old, structure = tree_flatten(before)
        new, new_structure = tree_flatten(now)
        is_same = bool(structure == new_structure)
        return not is_same or any(x is not y for x, y in zip(old, new, strict=True))

    def _has_new_structure(self) -> bool:
        """Tell whether attributes, metadata or sharing in the arguments changed."""
        outline = self._outline
        if outline.shared:
            return self._differs(self._roots, outline.definitions[0], 0, 0)
        made = filled = 0
        for root, definition in zip(self._roots, outline.definitions, strict=True):
            if definition.__class__ is GraphDef:
                if self._differs(root, definition, made, filled):
                    return True
                made += definition.num_objects
                filled += definition.num_leaves
            else:
                if isinstance(definition, VariableDef) and definition.metadata is not (
                    root._var_metadata
                ):
                    return True
                made += definition is not LEAF
                filled += 1
        return False

    def _differs(self, root: Any, definition: GraphDef[Any], made: int, filled: int) -> bool:
        objects: list[Any] = []
        now, leaves = walk(root, objects, several=self._outline.shared)
        return (
            now != definition
            or any(x is not y for x, y in zip(objects, self._made[made:], strict=False))
            or any(x is not y for x, y in zip(leaves, self._filled[filled:], strict=False))
        )

    def _complete(self, complete: bool | Sequence[bool]) -> Sequence[bool]:
        if isinstance(complete, bool):
            return [complete] * len(self._edge.inputs.values)
        return complete

    def values(self) -> tuple[list[Any], ...]:
        """Return the values of the arguments as they are now, in the groups they came in.

        Raises:
          ValueError: if their structure changed.
        """
        if self._edge.mode.updates and self._has_new_structure():
            raise ValueError(
                "The function changed the structure of its arguments, but "
                f"nnx.{self._edge.mode.name} runs it several times with one structure. Only values "
                "of variables may change."
            )
        groups: tuple[list[Any], ...] = tuple([] for _ in self._edge.inputs.values)
        for number, leaf in enumerate(self._filled):
            groups[self._outline.place(number)].append(value_of(leaf))
        return groups

    def leave(
        self,
        out: Any,
        *,
        complete: bool | Sequence[bool] = False,
        always: Collection[int] = (),
    ) -> tuple[Any, ...]:
        """Take the output apart, and the arguments once more.

        Args:
          out: what the function returned.
          complete: whether values of all variables in the arguments are returned, even those
            that the function did not touch; or that for each group.
          always: numbers of leaves, variables, whose values are returned whatever `complete` says.

        Returns:
          The Result, a list of values per input prefix, and one per output prefix.

        Raises:
          ValueError: if the output holds what it may not hold, or the prefixes do not fit.
        """
        mode = self._edge.mode
        flat, treedef = tree_flatten(out, is_leaf=has_identity)
        known = {id(x): number for number, x in enumerate(self._made)}
        returned: list[Any] = []
        definitions: list[Any] = []
        objects: list[Any] = []
        for x in flat:
            if not has_identity(x):
                definitions.append(LEAF)
                returned.append(x)
                continue
            its_objects: list[Any] = []
            definition, leaves = walk(x, its_objects)
            definitions.append(definition)
            returned.extend(leaves)
            objects.extend(its_objects)
        refuse_captured(objects, known, mode)
        all_complete = self._complete(complete)
        self._always = always
        is_aliased = any(id(x) in known for x in objects)
        is_shared = is_aliased or len(set(map(id, objects))) < len(objects)
        if not mode.updates and (is_aliased or (is_shared and not mode.graph)):
            refuse_graph(self.tree, mode, out)
        if mode.updates and (
            is_aliased or self._has_new_structure() or self._has_complete_arrays(all_complete)
        ):
            return self._linked(flat, treedef, known, out, all_complete)
        shared_definitions = tuple(definitions)
        if is_shared:
            joint, returned = walk(flat, several=True)
            shared_definitions = (joint,)
        if not mode.graph and not all(map(is_tree, definitions)):
            refuse_graph(self.tree, mode, out)
        references = _references(returned)
        outline = Outline(treedef, shared_definitions, is_shared, references=references)
        outputs = self._edge.outputs
        groups = self._written(all_complete)
        out_groups: tuple[list[Any], ...] = tuple([] for _ in outputs.values)
        if not outputs.is_uniform:
            if is_shared and not outputs.are_equal:
                check_same_prefixes(met(outputs, out), has_identity)
            places = placed(outputs, out, outline, returned)
            outline = Outline(treedef, shared_definitions, is_shared, places, references=references)
        for number, leaf in enumerate(returned):
            out_groups[outline.place(number)].append(_passed(leaf))
        written = tuple(number for group in groups for number, _ in group)
        result = Result(outline, written, self._redefined())
        values = ([value for _, value in group] for group in groups)
        return result, *values, *out_groups

    def _has_complete_arrays(self, complete: Sequence[bool]) -> bool:
        """Tell whether arrays that are attributes have to be returned."""
        if not any(complete):
            return False
        numbers = self._outline.attribute_arrays()
        return any(complete[self._outline.place(number)] for number in numbers)

    def _written(self, complete: Sequence[bool]) -> list[list[tuple[int, Any]]]:
        """List, for each group, variables with a new value (if complete, all): number, value."""
        groups: list[list[tuple[int, Any]]] = [[] for _ in complete]
        for number, leaf in enumerate(self._filled):
            if not isinstance(leaf, Variable) or isinstance(leaf._raw_value, jax.Ref):
                continue
            place = self._outline.place(number)
            if complete[place] or number in self._always or self._has_changed(number):
                self.returned.add(number)
                groups[place].append((number, leaf._raw_value))
        return groups

    def _redefined(self) -> tuple[tuple[int, VariableDef], ...]:
        """List variables whose metadata the function replaced."""
        found = []
        for number, (leaf, before) in enumerate(
            zip(self._filled, self._outline.leaf_definitions(), strict=True)
        ):
            if isinstance(leaf, Variable) and before.metadata is not leaf._var_metadata:
                found.append((number, leaf._var_metadata.definition(leaf.__class__)))
        return tuple(found)

    def _linked(
        self,
        flat: list[Any],
        treedef: Any,
        known: dict[int, int],
        out: Any,
        complete: Sequence[bool],
    ) -> tuple[Any, ...]:
        """Describe arguments and output together."""
        inputs, outputs = self._edge.inputs, self._edge.outputs
        roots = [x for x in self._roots if has_identity(x)]
        if not (inputs.are_equal and outputs.are_equal and inputs.values[0] == outputs.values[0]):
            own = (
                (leaf, path, inputs.values[self._outline.place(number)])
                for number, (leaf, path) in enumerate(
                    zip(self._filled, self._outline.paths(), strict=True)
                )
            )
            check_same_prefixes(itertools.chain(own, met(outputs, out)), has_identity)
        objects: list[Any] = []
        graphdef, leaves = walk([*roots, *flat], objects, several=True)
        numbers = {id(x): number for number, x in enumerate(self._filled)}
        in_slots = [
            slot
            for x, slot in zip(self._roots, inputs.slots_of(self.tree), strict=True)
            if has_identity(x)
        ]
        slots = [*in_slots, *outputs.slots_of(out)]
        groups: list[list[Any]] = [[] for _ in (*inputs.values, *outputs.values)]
        takes: list[int] = []
        references: list[int] = []
        leaf_sources: list[int | None] = []
        for path, leaf in zip(graphdef.paths, leaves, strict=True):
            root: int = path[0]  # type: ignore[assignment]
            source = known.get(id(leaf))
            number = numbers.get(id(leaf))
            if number is not None and (source is not None or root < len(roots)):
                place = self._outline.place(number)
                is_complete = complete[place] or number in self._always
                is_kept = not is_complete and not self._has_changed(number)
                if is_kept or isinstance(value_of(leaf), jax.Ref):
                    leaf_sources.append(source)
                    takes.append(-1 - number)
                    continue
                self.returned.add(number)
            if source is None or number is None:
                place = slots[root].place(path[1:], leaf)
                place += len(inputs.values) if root >= len(roots) else 0
            leaf_sources.append(source)
            takes.append(place)
            groups[place].append(_passed(leaf))
            if isinstance(value_of(leaf), jax.Ref):
                references.append(len(takes) - 1)
        sources = tuple(known.get(id(x)) for x in objects)
        linked = Linked(
            graphdef, len(roots), sources, tuple(leaf_sources), tuple(takes), tuple(references)
        )
        return Result(Outline(treedef, ()), linked=linked), *groups


def _itself(x: Any) -> Any:
    return x


def _passed(leaf: Any) -> Any:
    """Return what passes to the outside: of an array reference the array."""
    value = value_of(leaf)
    return value[...] if isinstance(value, jax.Ref) else value


def _references(leaves: Sequence[Any]) -> tuple[int, ...]:
    found = (number for number, leaf in enumerate(leaves) if isinstance(value_of(leaf), jax.Ref))
    return tuple(found)
