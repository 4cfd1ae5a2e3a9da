"""Operands: the arguments of a transformation, outside of it."""

from collections import deque
from collections.abc import Collection, Sequence
from itertools import combinations
from operator import attrgetter, is_
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_flatten

from ramie.core.tracing.sameness import identities
from ramie.core.tracing.trace import trace_token
from ramie.nnx.graph.cache import FreshWalk, RememberedWalk, are_apart, recall
from ramie.nnx.graph.structure import LEAF, REF
from ramie.nnx.graph.walk import build, has_identity, is_object, walk
from ramie.nnx.states.nested import Path
from ramie.nnx.transforms.arguments.checks import is_tree, met, placed, refuse_graph, value_of
from ramie.nnx.transforms.arguments.outline import Linked, Outline, Result, with_references
from ramie.nnx.transforms.arguments.prefixes import Edge, check_same_prefixes
from ramie.nnx.variable.base import Variable

__all__ = ["Operands"]

_raw = attrgetter("_raw_value")
_trace = attrgetter("_trace_token")
_descriptors: Any = vars(Variable)
_set_raw = _descriptors["_raw_value"].__set__
_set_metadata = _descriptors["_var_metadata"].__set__


class _Parts:
    """Roots, taken apart one by one.

    Args:
      roots: Pytrees, variables, array references and values.

    Attributes:
      definitions: what each is; see `Outline`.
      leaves: all variables and arrays.
      values: what these hold.
      walks: for each root the walk over it; None for what is not a Pytree.
      are_shared: whether roots have objects in common.
    """

    __slots__ = ("are_shared", "definitions", "leaves", "values", "walks")

    def __init__(self, roots: Sequence[Any]) -> None:
        definitions: list[Any] = []
        self.leaves: list[Any] = []
        self.values: list[Any] = []
        self.walks: list[Any] = []
        alone: list[int] = []
        walks: list[FreshWalk | RememberedWalk] = []
        for x in roots:
            found: Any = None
            if is_object(x):
                found = recall(x)
                definitions.append(found.graphdef)
                self.leaves.extend(found.leaves)
                self.values.extend(
                    map(_raw if type(found) is RememberedWalk else value_of, found.leaves)
                )
                walks.append(found)
            elif isinstance(x, Variable):
                metadata = x._var_metadata
                cls = x.__class__
                definitions.append(metadata.defs.get(cls) or metadata.definition(cls))
                self.leaves.append(x)
                self.values.append(x._raw_value)
                alone.append(id(x))
            else:
                self.leaves.append(x)
                self.values.append(x)
                is_reference = has_identity(x)
                definitions.append(REF if is_reference else LEAF)
                if is_reference:
                    alone.append(id(x))
            self.walks.append(found)
        self.definitions = tuple(definitions)
        self.are_shared = (len(walks) + len(alone) > 1) and _overlap(walks, alone)


def _overlap(walks: Sequence[FreshWalk | RememberedWalk], alone: Sequence[int]) -> bool:
    """Tell whether some object was met by two walks, or is in a list of others, or is twice."""
    singles = set(alone)
    if len(singles) < len(alone):
        return True
    if singles and not all(singles.isdisjoint(found.ids) for found in walks):
        return True
    return any(not are_apart(x, y) for x, y in combinations(walks, 2))


def _outline(
    edge: Edge, treedef: Any, definitions: tuple[Any, ...], shared: bool, note: Any
) -> Outline:
    """Return the outline of the last call if it is the same, with its hash, or a new one."""
    last: Outline | None = edge.last
    if (
        last is not None
        and note is None is last.note
        and len(definitions) == len(last.definitions)
        and all(map(is_, definitions, last.definitions))
        and shared == last.shared
        and treedef == last.treedef
    ):
        return last
    edge.last = found = Outline(treedef, definitions, shared, None, note)
    return found


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

    def __init__(self, edge: Edge, tree: Any, note: Any) -> None:
        flat, treedef = tree_flatten(tree, is_leaf=has_identity)
        parts = _Parts(flat)
        definitions, shared = parts.definitions, parts.are_shared
        leaves, values, walks = parts.leaves, parts.values, parts.walks
        mode = edge.mode
        if shared:
            objects: list[Any] = []
            joint, leaves = walk(flat, objects, several=True)
            values = list(map(value_of, leaves))
            definitions, walks = (joint,), [FreshWalk(joint, leaves, objects)]
        if not mode.graph and (shared or not all(map(is_tree, definitions))):
            refuse_graph(tree, mode)
        if edge.inputs.is_uniform:
            self.outline = _outline(edge, treedef, definitions, shared, note)
            self.groups = (values,)
        else:
            self.outline = Outline(treedef, definitions, shared, None, note)
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

    def move_to_device(self, group: int) -> None:
        """Put arrays of JAX in the place of those of NumPy that variables of a group hold.

        Otherwise each call would carry them to the device again. They are copied, so that what the
        caller does to the array of NumPy does not matter to the model afterwards.
        """
        values, trace = self.groups[group], trace_token()
        for number, (leaf, value) in enumerate(zip(self.leaves(group), values, strict=True)):
            if (
                type(value) is np.ndarray
                and value.dtype != object
                and isinstance(leaf, Variable)
                and _trace(leaf) is trace
            ):
                values[number] = jnp.array(value)
                _set_raw(leaf, values[number])

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
            if count > 1 or len(written) < len(leaves):  # of one group they are in order
                leaves = [leaves[number] for number in written]
            _write(leaves, values)
        for number, definition in result.redefined:
            _set_metadata(self._leaves[number], definition.metadata)
        outline = result.outline
        if not outline.definitions:
            return outline.tree(())
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
            following[take]() if take >= 0 else jax.eval_shape(value_of, self._leaves[-1 - take])
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


def _write(variables: Sequence[Any], values: Sequence[Any]) -> None:
    """Store values, after a look at whether all may change."""
    now, count = trace_token(), len(variables)
    if identities(tuple(map(_trace, variables))) != identities((now,) * count):
        for variable in variables:
            variable._check_can_update()
    deque(map(_set_raw, variables, values), maxlen=0)
