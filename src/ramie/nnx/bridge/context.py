"""Which module of the bridge runs in this thread."""

import collections
import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["MODULE_CONTEXT", "ModuleContext", "ModuleStackEntry", "entered"]


@dataclasses.dataclass
class ModuleStackEntry:
    """A module whose `setup` or method runs.

    Attributes:
      module: the module.
      in_compact: whether the method is a compact one.
      type_counter: how many submodules got a name after each class, by the name of the class.
    """

    module: Any
    in_compact: bool
    type_counter: "collections.Counter[str]" = dataclasses.field(
        default_factory=collections.Counter
    )

    def name_for(self, kind: type) -> str:
        """Return the next name for a submodule of a class, such as "Linear_0"."""
        number = self.type_counter[kind.__name__]
        self.type_counter[kind.__name__] += 1
        return f"{kind.__name__}_{number}"


class ModuleContext(threading.local):
    """The modules that run in a thread.

    Attributes:
      module_stack: the innermost last; None at the bottom.
    """

    def __init__(self) -> None:
        self.module_stack: list[ModuleStackEntry | None] = [None]


MODULE_CONTEXT = ModuleContext()


@contextmanager
def entered(module: Any, in_compact: bool) -> Iterator[None]:
    """Let a module be the one that runs within a ``with`` block."""
    MODULE_CONTEXT.module_stack.append(ModuleStackEntry(module, in_compact))
    try:
        yield
    finally:
        MODULE_CONTEXT.module_stack.pop()
