"""The walk over a model, remembered as long as everything it looked at is still the same.

A remembered walk is not told of changes; it looks. Before it is used again, each object is asked
whether it has the same class, the same attributes and, by identity, the same values, and each
variable whether it has the same class and metadata. That costs a fraction of a walk, and no edit
passes by it: not of ``vars(node)``, not with `object.__setattr__`, not from another thread.

What could change without another identity is not remembered at all: models with lists, dictionaries
or other plain pytrees inside, with static values that are not known to be immutable, or with arrays
that are attributes themselves (a remembered walk would keep a replaced one alive).
"""

import enum
import types
from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Any

import numpy as np

from ramie.nnx.pytree import Pytree
from ramie.nnx.structure import GraphDef
from ramie.nnx.walk import walk

__all__ = ["RememberedWalk", "flatten"]

_metadata = attrgetter("_var_metadata")
_IMMUTABLE = frozenset(
    (int, float, bool, complex, str, bytes, types.NoneType, types.EllipsisType, range)
)


def _is_stable(value: Any) -> bool:
    """Tell whether a static value cannot change while it stays the same object."""
    cls = type(value)
    if cls in _IMMUTABLE or isinstance(value, type | enum.Enum | np.dtype):
        return True
    if isinstance(value, tuple):
        return all(map(_is_stable, value))
    # Compared by identity: whatever happens inside, it is the same value.
    by_identity: Any = object.__hash__
    return cls.__hash__ is by_identity


def _facts(node: Pytree) -> tuple[Any, ...]:
    attributes = vars(node)
    return (
        type(node),
        node._pytree__layout,
        node._pytree__life,
        tuple(attributes),
        tuple(attributes.values()),
    )


class RememberedWalk:
    """The result of a walk, and what it depends on.

    It does not hold the root, so it lives and dies with it. What was taken out of a model is held
    until the next walk.

    Args:
      graphdef: the structure.
      leaves: the variables.
      nodes: the objects that were met, in order; the first is the root.
    """

    __slots__ = ("_facts", "_kinds", "_metadata", "_nodes", "graphdef", "leaves")

    def __init__(
        self, graphdef: GraphDef[Any], leaves: Sequence[Any], nodes: Sequence[Pytree]
    ) -> None:
        self.graphdef = graphdef
        self.leaves = tuple(leaves)
        self._nodes = tuple(nodes[1:])
        self._facts = tuple(map(_facts, nodes))
        self._kinds = tuple(map(type, self.leaves))
        self._metadata = tuple(map(_metadata, self.leaves))

    def holds(self, root: Pytree) -> bool:
        """Tell whether a walk over the root would give the same."""
        for node, (cls, layout, life, names, values) in zip(
            (root, *self._nodes), self._facts, strict=True
        ):
            attributes = node.__dict__
            if not (
                node.__class__ is cls
                and node._pytree__layout is layout
                and node._pytree__life is life
                and tuple(attributes) == names
                and all(map(is_, attributes.values(), values))
            ):
                return False
        return all(map(is_, map(type, self.leaves), self._kinds)) and all(
            map(is_, map(_metadata, self.leaves), self._metadata)
        )


def flatten(root: Any) -> tuple[GraphDef[Any], Sequence[Any]]:
    """Walk over a model, or recall the last walk if nothing has changed since.

    Args:
      root: see `walk`. Only walks that begin at a Pytree are remembered, from the second on.

    Returns:
      The structure, and the variables and arrays in its order.
    """
    if not isinstance(root, Pytree):
        return walk(root)
    known = root._pytree__walk
    if known.__class__ is RememberedWalk and known.holds(root):
        return known.graphdef, known.leaves
    if known is None:  # most models inside of a transformation are walked over only once
        object.__setattr__(root, "_pytree__walk", False)
        return walk(root)
    met: list[Pytree | None] = []
    graphdef, leaves = walk(root, met)
    nodes = [node for node in met if node is not None]
    remember = len(nodes) == len(met) and all(
        _is_stable(value)
        for node in nodes
        for name, value in vars(node).items()
        if not node._pytree__status.get(name, False)
    )
    fresh = RememberedWalk(graphdef, leaves, nodes) if remember else False
    object.__setattr__(root, "_pytree__walk", fresh)
    return graphdef, leaves
