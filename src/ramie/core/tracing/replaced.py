"""What somebody replaced in this library: methods of its classes, functions of its modules.

A trace that is kept has called functions and classes of this library, which call others by name or
through `self`. What such a trace depends on cannot be listed beforehand, so all that is loaded is
looked at: by identity, in one pass, before a trace is used again.
"""

import gc
import sys
import threading
from collections import deque
from collections.abc import Hashable
from types import ModuleType
from typing import Any, NamedTuple

from ramie.core.tracing.sameness import Same, identities

__all__ = ["replaced"]

_OWN = __name__.partition(".")[0]
_KINDS = (property, staticmethod, classmethod, ModuleType)
_ABSENT = object()
_lock = threading.Lock()


class _Place(NamedTuple):
    """A module or class of the library.

    Attributes:
      owner: it.
      names: what it holds.
      first: those of them that matter, as they were when this was seen first.
    """

    owner: Any
    names: dict[str, Any]
    first: dict[str, Any]

    def differences(self) -> list[Hashable]:
        """List what is another one than at first. What is new in a module was not used before."""
        now, first = self.names, self.first
        found: list[Hashable] = []
        for name, value in first.items():
            if now.get(name, _ABSENT) is not value:
                found.append((self.owner, name, Same(now.get(name, _ABSENT))))
        for name, value in tuple(now.items()):
            if name not in first and _matters(value):
                if isinstance(self.owner, type):
                    found.append((self.owner, name, Same(value)))
                else:
                    first[name] = value
        return found


class _Seen(NamedTuple):
    """What a look found.

    Attributes:
      dictionaries: of all places.
      modules: how many modules of whatever library there were.
      held: all values, so that identities stay theirs.
      facts: the identities.
      result: see `replaced`.
    """

    dictionaries: tuple[dict[str, Any], ...]
    modules: int
    held: tuple[Any, ...]
    facts: bytes
    result: frozenset[Hashable]


class _Last:
    """Holds the last look, because variables of this module are among what is looked at."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen = _Seen((), 0, (), b"", frozenset())


_last = _Last()
_places: dict[int, _Place] = {}


def replaced() -> frozenset[Hashable]:
    """Return what methods and functions of this library are not those that were seen first.

    It is equal at two moments only if all of them are the same; usually it is empty. Code that is
    put into a function by its ``__code__`` is not looked at.

    Example:
        >>> import ramie.linen as nn
        >>> call = nn.Dense.__call__
        >>> before = replaced()
        >>> nn.Dense.__call__ = lambda self, x: x
        >>> replaced() == before
        False
        >>> nn.Dense.__call__ = call
        >>> replaced() == before
        True
    """
    seen = _last.seen
    if seen.modules == len(sys.modules):
        held = _values(seen.dictionaries)
        if identities(held) == seen.facts:
            return seen.result
    return _look()


def _values(dictionaries: tuple[dict[str, Any], ...]) -> tuple[Any, ...]:
    values: list[Any] = []
    deque(map(values.extend, map(dict.values, dictionaries)), maxlen=0)
    return tuple(values)


def _look() -> frozenset[Hashable]:
    with _lock:
        count = len(sys.modules)
        if count != _last.seen.modules:
            _find_places()
        places = tuple(_places.values())
        dictionaries = tuple(place.names for place in places)
        held = _values(dictionaries)
        result = frozenset(x for place in places for x in place.differences())
        if identities(_values(dictionaries)) == identities(held):  # no other thread came between
            _last.seen = _Seen(dictionaries, count, held, identities(held), result)
    return result


def _find_places() -> None:
    modules = [
        module
        for module in tuple(sys.modules.values())
        if isinstance(module, ModuleType) and module.__name__.partition(".")[0] == _OWN
    ]
    for module in modules:
        _add(module, vars(module))
    for cls in {x for m in modules for x in tuple(vars(m).values()) if isinstance(x, type)}:
        if cls.__module__.partition(".")[0] == _OWN:
            _add(cls, gc.get_referents(cls.__dict__)[0])  # the dictionary behind the view


def _add(owner: Any, names: dict[str, Any]) -> None:
    if id(owner) not in _places:
        first = {name: value for name, value in tuple(names.items()) if _matters(value)}
        _places[id(owner)] = _Place(owner, names, first)


def _matters(value: Any) -> bool:
    return callable(value) or isinstance(value, _KINDS)
