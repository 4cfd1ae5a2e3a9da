"""Which module of Linen runs in this thread, for rooms that do not know Linen."""

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["initializing", "running"]


F = TypeVar("F", bound=Callable[..., Any])


class _Running(threading.local):
    """One per thread.

    Attributes:
      modules: the modules whose methods are running, innermost last. None marks the edge of an
        outermost call: what is constructed there has no parent.
      initializers: how many functions run that make the first value of a variable.
    """

    def __init__(self) -> None:
        self.modules: list[Any] = [None]
        self.initializers = 0


running = _Running()


def initializing(fn: F) -> F:
    """Make a function say, while it runs, that it makes the first value of a variable."""

    @functools.wraps(fn)
    def announced(*args: Any, **kwargs: Any) -> Any:
        running.initializers += 1
        try:
            return fn(*args, **kwargs)
        finally:
            running.initializers -= 1

    return announced  # type: ignore[return-value]
