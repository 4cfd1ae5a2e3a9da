"""What a module instance remembers besides its fields."""

import enum
from collections.abc import MutableMapping
from typing import Any

__all__ = ["DONE", "NEW", "RUNNING", "ModuleState", "SetupState"]


class SetupState(enum.IntEnum):
    """How far `setup` of an instance has come."""

    NEW = 0
    RUNNING = 1
    DONE = 2


NEW, RUNNING, DONE = SetupState


class ModuleState:
    """The life of one instance.

    Attributes:
      in_compact_method: a compact method is running.
      in_setup: `setup` is running.
      setup_called: how far `setup` has come.
      is_initialized: construction is finished.
      autoname_cursor: the next number for each class name.
      first_calls: the cursor of the running compact method, and what it was when a compiled
        function was first called in this run.
      children: the submodules by name, and the names of variables with their collections.
      lifted_names: names of scopes that a transformation has brought in; `setup`, which runs again
        inside, may take them.
    """

    __slots__ = (
        "autoname_cursor",
        "children",
        "first_calls",
        "in_compact_method",
        "in_setup",
        "is_initialized",
        "lifted_names",
        "setup_called",
    )

    def __init__(self) -> None:
        self.in_compact_method = False
        self.in_setup = False
        self.setup_called = NEW
        self.is_initialized = False
        self.autoname_cursor: dict[str, int] = {}
        self.children: dict[str, Any] = {}
        self.first_calls: tuple[dict[str, int], MutableMapping[Any, dict[str, int]]] | None = None
        self.lifted_names: set[str] | None = None
