"""Operands: the arguments of a transformation, outside of it."""

from collections.abc import Collection, Sequence
from typing import Any

import jax
from jax.tree_util import tree_flatten

from ramie.core.trace import trace_token
from ramie.nnx.cache import FreshWalk, recall
from ramie.nnx.nested import Path
from ramie.nnx.structure import LEAF, REF
from ramie.nnx.transforms.checks import is_tree, met, placed, refuse_graph
from ramie.nnx.transforms.outline import Linked, Outline, Result, with_references
from ramie.nnx.transforms.prefixes import check_same_prefixes
from ramie.nnx.variable.base import Variable
from ramie.nnx.walk import build, has_identity, is_object, walk

__all__ = ["Operands"]

_descriptors: Any = vars(Variable)
_set_raw = _descriptors["_raw_value"].__set__
_set_metadata = _descriptors["_var_metadata"].__set__


def _taken_apart(
    flat: Sequence[Any],
) -> tuple[tuple[Any, ...], list[Any], list[FreshWalk | Any], bool]:
    """Walk over roots; return a definition for each, all leaves, the walks, and what is shared."""
    definitions: list[Any] = []
    leaves: list[Any] = []
    walks: list[Any] = []
    first: Any = None
    seen: set[int] = set()
    shared = False
    for x in flat:
        found: Any = None
        if isinstance(x, Variable):
            metadata = x._var_metadata
            definitions.append(metadata.defs.get(x.__class__) or metadata.definition(x.__class__))
            leaves.append(x)
            ids: Any = (id(x),)
        elif is_object(x):
            found = recall(x)
            definitions.append(found.graphdef)
            leaves.extend(found.leaves)
            ids = found
        elif has_identity(x):
            definitions.append(REF)
            leaves.append(x)
            ids = (id(x),)
        else:
            definitions.append(LEAF)
            leaves.append(x)
            walks.append(None)
            continue
        walks.append(found)
        if first is None and not seen:
            first = ids
            continue
        if first is not None:
            seen.update(first if first.__class__ is tuple else first.ids)
            first = None
        ids = ids if ids.__class__ is tuple else ids.ids
        shared = shared or not seen.isdisjoint(ids)
        seen.update(ids)
    return tuple(definitions), leaves, walks, shared


class Operands:
    """Arguments, taken apart.

    Args:
      edge: the boundary.
      tree: the arguments.
      note: see `Boundary.take_apart`.

    Attributes:
      outline: their structure, a pytree without leaves.
      groups: their values, a list per input prefix.
    """

    __slots__ = ("_edge", "_leaves", "_roots", "_walks", "groups", "outline")

    outline: Outline
    groups: tuple[list[Any], ...]

    def __init__(self, edge: Any, tree: Any, note: Any) -> None:
        flat, treedef = tree_flatten(tree, is_leaf=has_identity)
        definitions, leaves, walks, shared = _taken_apart(flat)
        mode = edge.mode
        if shared:
            objects: list[Any] = []
            joint, leaves = walk(flat, objects, several=True)
            definitions, walks = (joint,), [FreshWalk(joint, leaves, objects)]
        if not mode.graph and (shared or not all(map(is_tree, definitions))):
            refuse_graph(tree, mode)
        values = [x._raw_value if isinstance(x, Variable) else x for x in leaves]
        self.outline = Outline(treedef, definitions, shared, None, note)
        if edge.inputs.is_uniform:
            self.groups = (values,)
        else:
            places = placed(edge.inputs, tree, self.outline, leaves)
            if shared and not edge.inputs.are_equal:
                check_same_prefixes(met(edge.inputs, tree), has_identity)
            self.outline = Outline(treedef, definitions, shared, places, note)
            self.groups = tuple([] for _ in edge.inputs.values)
            for place, value in zip(places, values, strict=True):
                self.groups[place].append(value)
        self._edge = edge
        self._roots, self._walks, self._leaves = flat, walks, leaves

    def leaves(self, group: int) -> list[Any]:
        """Return variables and arrays of a group."""
        return self.outline.of_group(group, self._leaves)

    def paths(self, group: int) -> list[Path]:
        """Return where the leaves of a group are in the arguments."""
        return self.outline.of_group(group, self.outline.paths())

    def _objects(self) -> list[Any]:
        """List all objects of the arguments in the order in which they were met."""
        if self.outline.shared:
            return list(self._walks[0].met)
        objects: list[Any] = []
        for definition, root, found in zip(
            self.outline.definitions, self._roots, self._walks, strict=True
        ):
            if found is not None:
                objects.extend(found.objects(root))
            elif definition is not LEAF:
                objects.append(root)
        return objects

    def store(self, groups: Sequence[Sequence[Any]], only: Collection[int] | None = None) -> None:
        """Write the values of all groups to the variables.

        Args:
          groups: the values.
          only: numbers of the leaves to write; None for all.

        Raises:
          TraceContextError: if a variable belongs to another trace.
        """
        values = self.outline.joined(groups)
        pairs = [
            (leaf, value)
            for number, (leaf, value) in enumerate(zip(self._leaves, values, strict=True))
            if isinstance(leaf, Variable)
            and not isinstance(value, jax.Ref)
            and (only is None or number in only)
        ]
        _write([leaf for leaf, _ in pairs], [value for _, value in pairs])

    def write_back(self, returned: Sequence[Any]) -> Any:
        """Write what a function changed to the objects of the caller.

        Args:
          returned: what `Inside.leave` returned.

        Returns:
          The output.

        Raises:
          TraceContextError: if an object would change that belongs to another trace.
        """
        result, *groups = returned
        if result.linked is not None:
            return self._relink(result, groups)
        count = len(self._edge.inputs.values)
        written = result.written
        if written:
            leaves = self._leaves
            values = groups[0] if count == 1 else [x for g in groups[:count] for x in g]
            _write([leaves[number] for number in written], values)
        for number, definition in result.redefined:
            _set_metadata(self._leaves[number], definition.metadata)
        outline = result.outline
        return outline.tree(outline.roots(outline.joined(groups[count:])))

    def only_output(self, returned: Sequence[Any]) -> Any:
        """Return the output, and leave the objects of the caller as they are.

        Args:
          returned: what `Inside.leave` returned; usually without values, as from `jax.eval_shape`.
        """
        result, *groups = returned
        if result.linked is None:
            outline, groups = result.outline, groups[len(self._edge.inputs.values) :]
            return outline.tree(outline.roots(outline.joined(groups)))
        following = [iter(group).__next__ for group in groups]
        leaves = [
            following[take]() if take >= 0 else jax.eval_shape(_value, self._leaves[-1 - take])
            for take in result.linked.takes
        ]
        roots = build(result.linked.graphdef, leaves)
        return result.outline.tree(roots[result.linked.num_inputs :])

    def _relink(self, result: Result, groups: Sequence[Sequence[Any]]) -> Any:
        """Give the objects of the caller the structure that those inside had in the end."""
        linked: Linked = result.linked  # type: ignore[assignment]
        objects = self._objects()
        following = [iter(group).__next__ for group in groups]
        variables: list[Any] = []
        values: list[Any] = []
        leaves: list[Any] = []
        definitions = linked.graphdef.leaf_definitions
        for source, take, definition in zip(
            linked.leaf_sources, linked.takes, definitions, strict=True
        ):
            leaf = None if source is None else objects[source]
            if leaf is None:
                leaf = following[take]() if take >= 0 else self._leaves[-1 - take]
            elif take >= 0:
                variables.append(leaf)
                values.append(following[take]())
            if source is not None and isinstance(leaf, Variable):
                _set_metadata(leaf, definition.metadata)
            leaves.append(leaf)
        _write(variables, values)
        leaves = list(with_references(leaves, linked.references))
        known = [None if source is None else objects[source] for source in linked.sources]
        roots = build(linked.graphdef, leaves, known=known)
        return result.outline.tree(roots[linked.num_inputs :])


def _value(leaf: Any) -> Any:
    return leaf._raw_value if isinstance(leaf, Variable) else leaf


def _write(variables: Sequence[Any], values: Sequence[Any]) -> None:
    """Store values, after a look at whether all may change."""
    trace = trace_token()
    for variable in variables:
        if variable._trace_state is not trace:
            variable._check_can_update()
    for variable, value in zip(variables, values, strict=True):
        _set_raw(variable, value)
