"""Which module of Linen runs in this thread, for rooms that do not know Linen."""

import threading
from typing import Any

__all__ = ["running"]


class _Running(threading.local):
    """One per thread.

    Attributes:
      modules: the modules whose methods are running, innermost last. None marks the edge of an
        outermost call: what is constructed there has no parent.
    """

    def __init__(self) -> None:
        self.modules: list[Any] = [None]


running = _Running()
