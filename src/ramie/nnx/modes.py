"""Switches of NNX that a program sets once, or for the length of a ``with`` block."""

import functools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from ramie.foundation.configurations import config

__all__ = ["set_graph_mode", "set_graph_updates", "use_eager_sharding", "using_eager_sharding"]

F = TypeVar("F", bound=Callable[..., Any])


class _Stacks(threading.local):
    """For each thread and switch, what was set and not taken back."""

    def __init__(self) -> None:
        self.of: dict[type, list[bool]] = {}


_stacks = _Stacks()


class _Switch:
    """Sets a switch at once; used as a context manager, sets it back at the end.

    Args:
      value: on or off.
    """

    flag = ""

    def __init__(self, value: bool, /) -> None:
        stack = _stacks.of.setdefault(type(self), [])
        self._outer = list(stack)
        if stack:
            stack[-1] = value
        else:
            stack.append(value)
        self._value = value

    def __enter__(self) -> None:
        _stacks.of[type(self)] = [*self._outer, self._value]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _stacks.of[type(self)] = self._outer

    def __call__(self, fn: F) -> F:
        """Switch for each call of `fn`, and not now, as a decorator: ``@set_graph_mode(False)``."""
        _stacks.of[type(self)] = self._outer
        switch, value = type(self), self._value

        @functools.wraps(fn)
        def switched(*args: Any, **kwargs: Any) -> Any:
            with switch(value):
                return fn(*args, **kwargs)

        wrapped: Any = switched
        return wrapped

    @classmethod
    def get_default(cls) -> bool:
        """Return the value of the flag, which holds where nothing was set."""
        value: Any = getattr(config, cls.flag)
        return bool(value)

    @classmethod
    def get_stack(cls) -> list[bool]:
        """List what this thread has set, outermost first."""
        return list(_stacks.of.get(cls, ()))

    @classmethod
    def current_value(cls) -> bool:
        """Tell whether the switch is on here."""
        stack = _stacks.of.get(cls)
        return stack[-1] if stack else cls.get_default()


class set_graph_mode(_Switch):
    """Whether functions treat modules as graphs with shared nodes, or as plain trees.

    Args:
      value: True for graphs.

    Example:
        >>> from ramie import nnx
        >>> with nnx.set_graph_mode(False):
        ...     nnx.set_graph_mode.current_value()
        False
    """

    flag = "nnx_graph_mode"


class set_graph_updates(_Switch):
    """Whether transformations carry changes of structure back to their arguments.

    Args:
      value: True if they do.
    """

    flag = "nnx_graph_updates"


class use_eager_sharding(_Switch):
    """Whether a new variable with an `out_sharding` is placed at once.

    Args:
      value: True if it is.
    """

    flag = "flax_always_shard_variable"


def using_eager_sharding() -> bool:
    """Tell whether a new variable with an `out_sharding` is placed at once."""
    return use_eager_sharding.current_value()
