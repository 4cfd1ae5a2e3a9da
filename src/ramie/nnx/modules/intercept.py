"""Calls of methods of modules, seen or made by somebody else.

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

__all__ = ["Caller", "Watcher", "called_by", "is_watched", "watched"]

Watcher = Callable[..., Any]
"""Called as ``watcher(node, name, method, *args, **kwargs)``; returns what the call returns."""

Caller = Callable[[Any, str, Any, tuple[Any, ...], dict[str, Any]], Any]
"""Called as ``caller(node, name, method, args, kwargs)`` with what stands in the class."""


class _Watchers(threading.local):
    """Who watches in this thread, outermost first, and who makes the calls if nobody does."""

    def __init__(self) -> None:
        self.stack: list[Watcher] = []
        self.caller: Caller | None = None


_here = _Watchers()
_lock = threading.RLock()
# For each class how often it is wanted, and by name the method and what stands in its place.
_replaced: dict[type, tuple[int, dict[str, tuple[Any, Any]]]] = {}


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
        stack, caller = _here.stack, _here.caller
        # What a method calls of its base class is a part of it, no call of its own.
        if (stack or caller is not None) and _found(type(self), name) is wrapper:
            if not stack and caller is not None:
                return caller(self, name, method, args, kwargs)
            run = method.__get__(self, type(self))
            for watcher in stack:
                run = functools.partial(watcher, self, name, run)
            return run(*args, **kwargs)
        return method.__get__(self, type(self))(*args, **kwargs)

    return wrapper


def _found(cls: type, name: str) -> Any:
    """Return what instances find under a name, without asking it."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def _replace(cls: type) -> None:
    count, methods = _replaced.get(cls, (0, {}))
    if not count:
        found = {name: value for name, value in vars(cls).items() if _is_method(name, value)}
        methods = {name: (method, _wrapped(name, method)) for name, method in found.items()}
        for name, (_, wrapper) in methods.items():
            setattr(cls, name, wrapper)
    _replaced[cls] = count + 1, methods


def _restore(cls: type) -> None:
    count, methods = _replaced[cls]
    if count > 1:
        _replaced[cls] = count - 1, methods
        return
    del _replaced[cls]
    for name, (method, wrapper) in methods.items():
        if vars(cls).get(name) is wrapper:  # else somebody has put another one there
            setattr(cls, name, method)


@contextlib.contextmanager
def called_by(classes: Iterable[type], caller: Caller | None) -> Iterator[None]:
    """Let a function make the calls of methods within a ``with`` block, in this thread.

    It makes them where nobody watches; which methods these are, see `watched`.

    Args:
      classes: the classes whose methods it is to call; not their bases.
      caller: see `Caller`; None if each is to be a plain call again.
    """
    outer = _here.caller
    try:
        with _replacing(classes):
            _here.caller = caller
            yield
    finally:
        _here.caller = outer


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
    outer = _here.stack
    try:
        with _replacing(found):
            _here.stack = [*outer, watcher]
            yield
    finally:
        _here.stack = outer


@contextlib.contextmanager
def _replacing(classes: Iterable[type]) -> Iterator[None]:
    """Have the methods of classes replaced within a ``with`` block."""
    replaced: list[type] = []
    try:
        with _lock:
            for cls in classes:
                _replace(cls)
                replaced.append(cls)
        yield
    finally:
        with _lock:
            for cls in replaced:
                _restore(cls)
