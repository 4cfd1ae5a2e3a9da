"""Functions that branches and loops hand to JAX once more, so that it does not trace them again.

JAX knows a function by its identity. So what stands around a function of a user is made once, and
kept by what the function reads from outside of its arguments (`ramie.core.tracing.reads`); a
function that reads anything that may change unnoticed is never kept. A function that is made anew
at each call, such as a lambda, finds what was kept for the one before if the code of both is the
same, and all that they read. For this the classes of the arguments have to be known as well, and
nothing may be done that is seen each time, such as printing or counting calls. Where JAX gets the
very same function again, it calls it no second time either.
"""

import collections
import functools
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, TypeVar

import jax

from ramie.core.tracing.reads import Reading, is_plain, read_by
from ramie.core.tracing.replaced import replaced
from ramie.foundation.configurations import FLAGS, config
from ramie.nnx.graph.structure import ContainerDef, GraphDef, NodeDef, Static, VariableDef
from ramie.nnx.modes import using_eager_sharding
from ramie.nnx.modules.intercept import is_watched
from ramie.nnx.transforms.arguments.boundary import Boundary
from ramie.nnx.transforms.arguments.operands import Operands
from ramie.nnx.transforms.arguments.outline import Outline
from ramie.nnx.transforms.arguments.statics import without_cells
from ramie.nnx.variable import defaults
from ramie.ops.eager.replaced import nothing_is_replaced

__all__ = ["Given", "Repeatable", "found_or_made", "has_hash", "repeated"]

R = TypeVar("R", bound="Repeatable")

_KEPT = 128
"""How many sets of functions are kept: those that were used last."""

_MOST_TRACES = 256
"""How many traces one set of functions has before it is given up."""


class Given:
    """What passes to a function beside values: a pytree without leaves, and equal if they may be.

    Args:
      operands: the arguments of a transformation, with one prefix.

    Attributes:
      outline: their structure.
      cells: mutable cells among the values, by position.
      values: the other values; not part of the pytree.
    """

    __slots__ = ("cells", "may_repeat", "outline", "values")

    outline: Outline
    cells: Mapping[int, Any]

    def __init__(self, operands: Operands) -> None:
        self.outline = operands.outline
        self.values, self.cells = without_cells(operands.groups[0])
        self.may_repeat = not self.cells and has_hash(self.outline)

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, Given):
            return self is other
        return self.may_repeat and other.may_repeat and self.outline == other.outline

    def __hash__(self) -> int:
        return hash(self.outline) if self.may_repeat else id(self)

    def without_values(self) -> "Given":
        """Return the same for keeping."""
        other = object.__new__(Given)
        other.outline, other.cells, other.may_repeat = self.outline, self.cells, self.may_repeat
        other.values = []
        return other if self.may_repeat else self


jax.tree_util.register_pytree_node(Given, lambda x: ((), x.without_values()), lambda x, _: x)


def has_hash(x: Any) -> bool:
    """Tell whether something has a hash: an outline has none if static values in it can change."""
    try:
        hash(x)
    except TypeError:
        return False
    return True


class _Here(threading.local):
    """What a thread calls now: functions like those that were there before, and what they read."""

    functions: tuple[Callable[..., Any], ...] | None = None
    read: Reading | None = None
    key: Any = None


class Repeatable:
    """What stands around some functions: that which JAX calls.

    Args:
      edge: the boundary.
      functions: the functions.

    Attributes:
      was_traced: whether something was traced since `settle`.
    """

    def __init__(self, edge: Boundary, functions: tuple[Callable[..., Any], ...]) -> None:
        self.edge = edge
        self.was_traced = True
        self._first = functions
        self._here = _Here()
        self._place: Any = None  # under which it is kept
        self._traces = 0

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """The functions, as they were given to the present call."""
        return self._here.functions or self._first

    def begin(
        self, key: Hashable, read: Reading, functions: tuple[Callable[..., Any], ...]
    ) -> None:
        """Note what is called now.

        Args:
          key: all that a trace depends on, but for what functions read, and for what JAX sees.
          read: what the functions read.
          functions: the functions.
        """
        self._here.key, self._here.read, self._here.functions = key, read, functions

    def settle(self) -> None:
        """Note what the functions read from outside, after they were traced, and keep them."""
        here, functions = self._here, self.functions
        key, before = here.key, here.read
        here.key = here.read = here.functions = None
        if not self.was_traced:
            return
        self.was_traced = False
        if key is None:
            return
        after = read_by(functions)
        with _lock:
            if self._place is not None and _kept.get(self._place) is self:
                del _kept[self._place]
            self._traces += 1
            if after is None or self._traces > _MOST_TRACES:
                return
            is_alike = before == after and not after.is_visible and key[-1] is not None
            self._first = functions
            self._place = key, after.content, None if is_alike else after.functions
            _kept[self._place] = self
            if len(_kept) > _KEPT:
                _kept.popitem(last=False)


_kept: collections.OrderedDict[Any, Repeatable] = collections.OrderedDict()
_lock = threading.Lock()


def repeated(
    kind: Callable[[Boundary, tuple[Callable[..., Any], ...]], R],
    edge: Boundary,
    functions: tuple[Callable[..., Any], ...],
    given: Given,
) -> R:
    """Return what stood around such functions before, if it may be used again, else a new one.

    Args:
      kind: a class derived from `Repeatable`.
      edge: the boundary; it has one prefix for all arguments.
      functions: the functions.
      given: what they are called with.
    """

    def make() -> R:
        return kind(edge, functions)

    found = found_or_made(make, edge, functions, given.outline, kind) if given.may_repeat else None
    return make() if found is None else found


def found_or_made(
    make: Callable[[], R],
    edge: Boundary,
    functions: tuple[Callable[..., Any], ...],
    outline: Outline,
    options: Hashable,
) -> R | None:
    """Return what stood around such functions before, or a new one that may be kept.

    Args:
      make: makes a new one.
      edge: the boundary.
      functions: the functions.
      outline: the structure of what they are called with; it has a hash.
      options: what else tells kinds apart.

    Returns:
      It; None if it could not be kept.
    """
    # What a trace kept while a function of JAX was another one would be used for all times.
    if is_watched() or not nothing_is_replaced():
        return None
    read = read_by(functions)
    if read is None:
        return None
    flags = tuple(getattr(config, flag.name) for flag in FLAGS)
    here = (defaults.here.hijax, defaults.here.ref, using_eager_sharding())
    key = (options, edge.mode, flags, here, replaced(), _read_by_classes(outline))
    try:
        alike, same = (key, read.content, None), (key, read.content, read.functions)
        place = alike if alike in _kept else same
        found: Any = _kept.get(place)
    except TypeError:  # something that cannot be hashed
        return None
    if found is None:
        found = make()
    else:
        with _lock:
            if place in _kept:
                _kept.move_to_end(place)
    found.begin(key, read, functions)
    kept: R = found
    return kept


# --- classes of arguments -------------------------------------------------------------------------


_found: "weakref.WeakKeyDictionary[GraphDef[Any], tuple[Any, ...]]" = weakref.WeakKeyDictionary()


def _read_by_classes(outline: Outline) -> Any:
    """Return what classes and static functions of arguments read; None if it cannot be told."""
    things: list[Any] = list(_own_nodes(outline.treedef))
    for definition in outline.definitions:
        if isinstance(definition, GraphDef):
            known = _found.get(definition)
            if known is None:
                known = tuple(dict.fromkeys(filter(_is_read, _of_structure(definition))))
                _found[definition] = known
            things.extend(known)
        elif isinstance(definition, VariableDef):
            things.extend(filter(_is_read, _of_variable(definition)))
    if not things:
        return ()
    read = read_by(things)
    return None if read is None or read.is_visible else read.content


def _is_read(x: Any) -> bool:
    return not is_plain(x)


def _of_structure(definition: GraphDef[Any]) -> Iterator[Any]:
    """List the classes and static values in a structure; all have a hash."""
    for entry in definition.nodes:
        if isinstance(entry, NodeDef):
            yield entry.type
            yield from entry.statics
        elif isinstance(entry, VariableDef):
            yield from _of_variable(entry)
        elif isinstance(entry, Static):
            yield entry.value
        elif isinstance(entry, ContainerDef):
            if isinstance(entry.kind, type):
                yield entry.kind
            else:
                yield from _own_nodes(entry.kind)


def _of_variable(definition: VariableDef) -> Iterator[Any]:
    yield definition.type
    yield from definition.metadata.values()


@functools.lru_cache(maxsize=256)
def _own_nodes(treedef: Any) -> tuple[Any, ...]:
    """Return the classes of a tree that are not of a library."""
    node = treedef.node_data()
    own = () if node is None or is_plain(node[0]) else (node[0],)
    return own + tuple(x for child in treedef.children() for x in _own_nodes(child))
