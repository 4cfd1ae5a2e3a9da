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
import weakref
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter, is_
from typing import Any, NamedTuple

import numpy as np

from ramie.nnx.pytree import Pytree
from ramie.nnx.structure import GraphDef
from ramie.nnx.variable.base import Variable
from ramie.nnx.walk import walk

__all__ = ["FreshWalk", "RememberedWalk", "are_apart", "flatten", "recall"]

_metadata = attrgetter("_var_metadata")
_layout = attrgetter("_pytree__layout")
_life = attrgetter("_pytree__life")
_attributes = attrgetter("__dict__")
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

    Attributes:
      ids: the identities of all objects.
      apart: refers to another walk that met none of these objects; see `are_apart`.
    """

    __slots__ = (
        "__weakref__",
        "_attributes",
        "_classes",
        "_kinds",
        "_layouts",
        "_lives",
        "_metadata",
        "_names",
        "_nodes",
        "_others",
        "_sizes",
        "_values",
        "apart",
        "graphdef",
        "ids",
        "leaves",
    )

    def __init__(
        self, graphdef: GraphDef[Any], leaves: Sequence[Any], objects: Sequence[Any]
    ) -> None:
        self.graphdef = graphdef
        self.leaves = tuple(leaves)
        self.ids = frozenset(map(id, objects))
        nodes = [x for x in objects if isinstance(x, Pytree)]
        self._others = tuple(objects[1:])
        self._nodes = tuple(nodes[1:])
        self._classes = tuple(map(type, nodes))
        self._layouts = tuple(map(_layout, nodes))
        self._lives = tuple(map(_life, nodes))
        self._attributes = tuple(map(_attributes, nodes))
        self._sizes = tuple(map(len, self._attributes))
        self._names = tuple(chain.from_iterable(self._attributes))
        self._values = tuple(chain.from_iterable(map(dict.values, self._attributes)))
        self._kinds = tuple(map(type, self.leaves))
        self._metadata = tuple(map(_metadata, self.leaves))

        self.apart: Any = None

    def objects(self, root: Pytree) -> tuple[Any, ...]:
        """Return Pytrees and variables in the order in which they were met."""
        return (root, *self._others)

    def holds(self, root: Pytree) -> bool:
        """Tell whether a walk over the root would give the same."""
        nodes = (root, *self._nodes)
        attributes = self._attributes
        # Cheap tests of many at once, in C: this runs before each step.
        return (
            all(map(is_, map(_attributes, nodes), attributes))
            and all(map(is_, map(_layout, nodes), self._layouts))
            and all(map(is_, map(type, nodes), self._classes))
            and all(map(is_, map(_life, nodes), self._lives))
            and tuple(map(len, attributes)) == self._sizes
            and tuple(chain.from_iterable(attributes)) == self._names
            and all(map(is_, chain.from_iterable(map(_values_of, attributes)), self._values))
            and all(map(is_, map(type, self.leaves), self._kinds))
            and all(map(is_, map(_metadata, self.leaves), self._metadata))
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
    if not others and _is_stable_all(objects):
        fresh = RememberedWalk(graphdef, leaves, objects)
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
