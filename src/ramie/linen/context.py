"""What is going on in this thread: which module's method runs, who listens."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ramie.configurations import config

if TYPE_CHECKING:
    from ramie.linen.module import Module

__all__ = ["CaptureFilter", "context"]

CaptureFilter = Callable[["Module", str], bool]


class _Context(threading.local):
    """One per thread.

    Attributes:
      stack: the modules whose methods are running, innermost last. None marks the edge of an
        outermost call: what is constructed there has no parent.
      interceptors: functions around each method call, innermost last.
      capture: filters of `capture_intermediates`, the one in force last.
      named_call: whether methods show in profiles and compiled programs under their names.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = [None]
        self.interceptors: list[Callable[..., Any]] = []
        self.capture: list[CaptureFilter | None] = [None]
        self.named_call: bool = bool(config.flax_profile)

    @property
    def module_stack(self) -> list[Any]:
        """The part of `stack` that belongs to the running outermost call: for other projects."""
        edge = max(i for i, module in enumerate(self.stack) if module is None)
        return self.stack[edge:]

    @property
    def capture_stack(self) -> list[CaptureFilter | None]:
        """The name under which other projects read `capture`."""
        return self.capture


context = _Context()
