"""What is going on here: which module's method runs, who listens.

A call of a module runs in one thread from beginning to end, so what belongs to the call is kept per
thread. What a program switches around calls is kept per context (`contextvars`): it holds in the
thread or asynchronous task that set it, and in no other that runs meanwhile.
"""

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ramie.core.running import running
from ramie.foundation.configurations import config

__all__ = ["CaptureFilter", "context", "interceptors", "named_call", "sharing", "wants_sharing"]

CaptureFilter = Callable[[Any, str], bool]
"""Chooses what `capture_intermediates` keeps; it is told the module and the method's name."""


interceptors: ContextVar[tuple[Callable[..., Any], ...]] = ContextVar("interceptors", default=())
"""Functions around each method call, innermost last."""

named_call: ContextVar[bool] = ContextVar("named_call", default=bool(config.flax_profile))
"""Whether methods show in profiles and compiled programs under their names."""

sharing: ContextVar[bool | None] = ContextVar("sharing", default=None)
"""Whether modules that agree are traced once; None for what the flag `ramie_share_traces` says."""


def wants_sharing() -> bool:
    """Tell whether modules that agree are traced once."""
    wanted = sharing.get()
    return config.ramie_share_traces if wanted is None else wanted


class _Context(threading.local):
    """One per thread.

    Attributes:
      stack: the modules whose methods are running; see `ramie.core.running`.
      capture: filters of `capture_intermediates`, the one in force last.
      in_place: a module whose method, called next, is not to be shared.
    """

    in_place: Any = None

    def __init__(self) -> None:
        self.stack = running.modules
        self.capture: list[CaptureFilter | None] = [None]

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
