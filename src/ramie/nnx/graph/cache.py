"""The walk over a model, remembered as long as everything it looked at is still the same.

A remembered walk is not told of changes; it looks. Before it is used again, each object is asked
whether it has the same class, the same attributes and, by identity, the same values, and each
variable whether it has the same class and metadata. That costs a fraction of a walk, and no edit
passes by it: not of ``vars(node)``, not with `object.__setattr__`, not from another thread.

What could change without another identity is not remembered at all: models with static values that
are not known to be immutable, with pytrees of unknown classes inside, or with arrays that are
attributes themselves (a remembered walk would keep a replaced one alive).
"""

import enum
import types
import weakref
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from ramie.core.tracing.sameness import identities
from ramie.nnx.graph.structure import GraphDef
from ramie.nnx.graph.walk import walk
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states.state import State
from ramie.nnx.variable.base import Variable

__all__ = ["FreshWalk", "RememberedWalk", "are_apart", "flatten", "recall"]

_metadata = attrgetter("_var_metadata")
_layout = attrgetter("_pytree__layout")
_life = attrgetter("_pytree__life")
_attributes = attrgetter("__dict__")
_mapping = attrgetter("_mapping")
_values_of = dict.values
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


class RememberedWalk:
    """The result of a walk, and what it depends on.

    It does not hold the root, so it lives and dies with it. What was taken out of a model is held
    until the next walk.

    Args:
      graphdef: the structure.
      leaves: the variables.
      objects: Pytrees and variables in the order in which they were met; the first is the root.
      containers: lists, dictionaries and States that were met.

    Attributes:
      ids: the identities of all objects.
      apart: refers to another walk that met none of these objects; see `are_apart`.
    """

    __slots__ = (
        "__weakref__",
        "_containers",
        "_contents",
        "_facts",
        "_nodes",
        "_others",
        "_sizes",
        "apart",
        "graphdef",
        "ids",
        "leaves",
    )

    def __init__(
        self,
        graphdef: GraphDef[Any],
        leaves: Sequence[Any],
        objects: Sequence[Any],
        containers: "_Containers",
    ) -> None:
        self.graphdef = graphdef
        self.leaves = tuple(leaves)
        self.ids = frozenset(map(id, objects))
        self.apart: Any = None
        nodes = [x for x in objects if isinstance(x, Pytree)]
        self._others = tuple(objects[1:])
        self._nodes = tuple(nodes[1:])
        self._containers = containers
        # The objects are kept beside their identities, which would say nothing without them.
        mappings = self._mappings(nodes)
        self._sizes = self._lengths(mappings)
        self._contents = self._seen(nodes, mappings)
        self._facts = identities(self._contents)

    def objects(self, root: Pytree) -> tuple[Any, ...]:
        """Return Pytrees and variables in the order in which they were met."""
        return (root, *self._others)

    def _mappings(self, nodes: Sequence[Pytree]) -> tuple[dict[Any, Any], ...]:
        return (
            *map(_attributes, nodes),
            *map(_mapping, self._containers.states),
            *self._containers.dicts,
        )

    def _lengths(self, mappings: tuple[dict[Any, Any], ...]) -> tuple[int, ...]:
        return (*map(len, mappings), *map(len, self._containers.lists))

    def _seen(
        self, nodes: Sequence[Pytree], mappings: tuple[dict[Any, Any], ...]
    ) -> tuple[Any, ...]:
        """List all objects that have to be the same; with the lengths they say what is where."""
        leaves = self.leaves
        seen = [*mappings, *map(_layout, nodes), *map(_life, nodes), *map(type, nodes)]
        extend = seen.extend
        extend(map(type, leaves))
        extend(map(_metadata, leaves))
        # Faster than one iterator over all.
        deque(map(extend, mappings), maxlen=0)
        deque(map(extend, map(_values_of, mappings)), maxlen=0)
        deque(map(extend, self._containers.lists), maxlen=0)
        return tuple(seen)

    def holds(self, root: Pytree) -> bool:
        """Tell whether a walk over the root would give the same."""
        # Many at once, in C: this runs before each step.
        nodes = (root, *self._nodes)
        mappings = self._mappings(nodes)
        return (
            self._lengths(mappings) == self._sizes
            and identities(self._seen(nodes, mappings)) == self._facts
        )


class _Containers(NamedTuple):
    """Containers inside of a model, by how their contents are found."""

    dicts: tuple[dict[Any, Any], ...]
    lists: tuple[list[Any], ...]
    states: tuple[State, ...]


def _containers(others: Sequence[Any]) -> _Containers | None:
    """Sort what a walk met beside objects; None if something there can change unnoticed."""
    dicts, lists, states = [], [], []
    for x in others:
        if type(x) is dict:
            dicts.append(x)
        elif type(x) is list:
            lists.append(x)
        elif type(x) is State:
            x.raw_mapping  # noqa: B018  # from here on it has one
            states.append(x)
        elif not (_is_plain_tuple(x) or _is_stable(x)):
            return None
    return _Containers(tuple(dicts), tuple(lists), tuple(states))


def _is_plain_tuple(x: Any) -> bool:
    """Tell whether something is a tuple or named tuple, whose items stay what they are."""
    return type(x) is tuple or (
        isinstance(x, tuple) and hasattr(x, "_fields") and not hasattr(x, "__dict__")
    )


def are_apart(x: "RememberedWalk | FreshWalk", y: "RememberedWalk | FreshWalk") -> bool:
    """Tell whether two walks met no object in common."""
    if x.__class__ is y.__class__ is RememberedWalk:
        if x.apart is not None and x.apart() is y:
            return True
        if x.ids.isdisjoint(y.ids):
            x.apart = weakref.ref(y)
            return True
        return False
    return x.ids.isdisjoint(y.ids)


class FreshWalk(NamedTuple):
    """The result of a walk that is not remembered; see `RememberedWalk`.

    Attributes:
      graphdef: the structure.
      leaves: the variables and arrays.
      met: Pytrees, variables and array references in the order in which they were met.
    """

    graphdef: GraphDef[Any]
    leaves: Sequence[Any]
    met: Sequence[Any]

    @property
    def ids(self) -> frozenset[int]:
        """The identities of all objects."""
        return frozenset(map(id, self.met))

    def objects(self, root: Any) -> Sequence[Any]:
        """Return all objects in the order in which they were met."""
        del root
        return self.met


def recall(root: Pytree) -> RememberedWalk | FreshWalk:
    """Walk over a model, or recall the last walk if nothing has changed since.

    Args:
      root: the model. Walks are remembered from the second on.

    Returns:
      The walk.
    """
    known = root._pytree__walk
    if known.__class__ is RememberedWalk and known.holds(root):
        return known
    objects: list[Any] = []
    if known is None:  # most models inside of a transformation are walked over only once
        object.__setattr__(root, "_pytree__walk", False)
        return FreshWalk(*walk(root, objects), objects)
    others: list[Any] = []
    graphdef, leaves = walk(root, objects, others=others)
    containers = _containers(others)
    if (
        containers is not None
        and _is_stable_all(objects)
        and all(isinstance(leaf, Variable) for leaf in leaves)
    ):
        fresh = RememberedWalk(graphdef, leaves, objects, containers)
        object.__setattr__(root, "_pytree__walk", fresh)
        return fresh
    object.__setattr__(root, "_pytree__walk", False)
    return FreshWalk(graphdef, leaves, objects)


def _is_stable_all(objects: Sequence[Any]) -> bool:
    """Tell whether what belongs to some objects can only change by becoming another object."""
    return all(
        isinstance(x, Variable)
        or (
            isinstance(x, Pytree)
            and all(
                _is_stable(value)
                for name, value in vars(x).items()
                if not x._pytree__status.get(name, False)
            )
        )
        for x in objects
    )


def flatten(root: Any) -> tuple[GraphDef[Any], Sequence[Any]]:
    """Return structure and leaves of a model, of a remembered walk if there is one.

    Args:
      root: see `walk`. Only walks that begin at a Pytree are remembered.

    Returns:
      The structure, and the variables and arrays in its order.
    """
    if not isinstance(root, Pytree):
        return walk(root)
    known = root._pytree__walk
    if known.__class__ is RememberedWalk and known.holds(root):
        return known.graphdef, known.leaves
    if known is None:
        object.__setattr__(root, "_pytree__walk", False)
        return walk(root)
    found = recall(root)
    return found.graphdef, found.leaves
