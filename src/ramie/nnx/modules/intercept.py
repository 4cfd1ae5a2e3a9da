"""Calls of methods of modules, seen from outside while somebody watches.

Nothing is paid for this as long as nobody does: the methods of the classes in question are replaced
for the length of a ``with`` block, and put back after the last one.
"""

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ramie.nnx.modules.module import Module

__all__ = ["Watcher", "is_watched", "watched"]

Watcher = Callable[..., Any]
"""Called as ``watcher(node, name, method, *args, **kwargs)``; returns what the call returns."""


class _Watchers(threading.local):
    """Who watches in this thread, outermost first."""

    def __init__(self) -> None:
        self.stack: list[Watcher] = []


_here = _Watchers()
_lock = threading.RLock()
_replaced: dict[type, tuple[int, dict[str, Any]]] = {}


def is_watched() -> bool:
    """Tell whether somebody watches in this thread."""
    return bool(_here.stack)


def _is_method(name: str, value: Any) -> bool:
    """Tell whether an entry of a class is a method that users think of as a step of a model."""
    if name.startswith("_") and name != "__call__":
        return False
    if isinstance(value, staticmethod | classmethod | property | type):
        return False
    return callable(value) and hasattr(value, "__get__") and not _is_lazy(value)


def _is_lazy(function: Any) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function)


def _wrapped(name: str, method: Any) -> Any:
    @functools.wraps(method, updated=())
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = method.__get__(self, type(self))
        # What a method calls of its base class is a part of it, no call of its own.
        if inspect.getattr_static(type(self), name) is wrapper:
            for watcher in _here.stack:
                run = functools.partial(watcher, self, name, run)
        return run(*args, **kwargs)

    return wrapper


def _replace(cls: type) -> None:
    count, originals = _replaced.get(cls, (0, {}))
    if not count:
        originals = {name: value for name, value in vars(cls).items() if _is_method(name, value)}
        for name, method in originals.items():
            setattr(cls, name, _wrapped(name, method))
    _replaced[cls] = count + 1, originals


def _restore(cls: type) -> None:
    count, originals = _replaced[cls]
    if count > 1:
        _replaced[cls] = count - 1, originals
        return
    del _replaced[cls]
    for name, method in originals.items():
        setattr(cls, name, method)


@contextlib.contextmanager
def watched(classes: Iterable[type], watcher: Watcher) -> Iterator[None]:
    """Let a function see the calls of methods within a ``with`` block, in this thread.

    Seen are `__call__` and the methods whose names have no underscore in front, inherited ones
    included, but not those that every module has.

    Args:
      classes: the classes of the objects to watch.
      watcher: see `Watcher`.
    """
    found = {base: None for cls in classes for base in cls.__mro__ if base not in Module.__mro__}
    replaced: list[type] = []
    outer = _here.stack
    try:
        with _lock:
            for cls in found:
                _replace(cls)
                replaced.append(cls)
        _here.stack = [*outer, watcher]
        yield
    finally:
        _here.stack = outer
        with _lock:
            for cls in replaced:
                _restore(cls)
