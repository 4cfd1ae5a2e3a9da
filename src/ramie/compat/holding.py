"""Modules that answer, while the aliases are installed, to what their counterparts hold.

A package of Flax has imported all its modules, so a program reads ``flax.linen.transforms.errors``
after no more than ``import flax``. Ramie's packages import a module when it is first asked for,
by whichever path; from then on it answers to the names of `ramie.compat.attributes`.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from ramie.compat.attributes import attributes_of
from ramie.foundation.doors import TABLES

Answer = Callable[[str], Any]


class Holders:
    """The modules that answer to more than they define, and those that will once imported."""

    def __init__(self) -> None:
        self.paths: dict[str, list[str]] = {}  # by module, the paths of Flax that lead to it
        self.former: dict[str, tuple[ModuleType, Answer | None]] = {}

    def expect(self, name: str, path: str) -> None:
        """Let a module, now or when it is imported, answer to what a path of Flax holds.

        Args:
          name: of the module; its own modules follow, where it is a package with a table.
          path: the dotted path, beginning with ``flax``.
        """
        known = self.paths.setdefault(name, [])
        if path in known:
            return
        known.append(path)
        if name in sys.modules:
            self.adopt(name)

    def adopt(self, name: str) -> None:
        """Extend a module that is imported."""
        module = sys.modules[name]
        real = module.__name__  # a path may lead to a module of another name
        paths = self.paths.setdefault(real, [])
        paths += [path for path in self.paths[name] if path not in paths]
        if real not in self.former or self.former[real][0] is not module:
            former = vars(module).get("__getattr__")
            self.former[real] = module, former
            vars(module)["__getattr__"] = self._answer(module, paths, former)
        for child, place in TABLES[real].modules.items() if real in TABLES else ():
            for path in tuple(paths):
                self.expect(place, f"{path}.{child}")

    def _answer(self, module: ModuleType, paths: list[str], former: Answer | None) -> Answer:
        def answer(attribute: str) -> Any:
            missing = None
            if former is not None:
                try:
                    return former(attribute)
                except AttributeError as error:
                    missing = error
            held = {} if attribute.startswith("__") else _held(paths)
            if attribute not in held:
                message = f"module {module.__name__!r} has no attribute {attribute!r}"
                raise missing or AttributeError(message, name=attribute, obj=module)
            inside = f"{module.__name__}.{attribute}"
            if hasattr(module, "__path__") and importlib.util.find_spec(inside) is not None:
                return importlib.import_module(inside)  # an import statement asks here first
            path, _, value = held[attribute].partition(":")
            home = importlib.import_module(path)
            return getattr(home, value) if value else home

        return answer

    def find(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Find a module that is expected; it answers to more once it has run."""
        if name not in self.paths:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Run(self, spec.loader)
        return spec

    def forget(self) -> None:
        """Let every module answer to its own names again."""
        for module, former in self.former.values():
            if former is None:
                vars(module).pop("__getattr__", None)
            else:
                vars(module)["__getattr__"] = former
        self.former.clear()
        self.paths.clear()


def _held(paths: list[str]) -> dict[str, str]:
    return {name: place for path in paths for name, place in attributes_of(path).items()}


class _Run(Loader):
    """Runs a module by its own loader, which then takes its place, and extends the module."""

    def __init__(self, holders: Holders, loader: Loader) -> None:
        self.holders, self.loader = holders, loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)  # get_code, get_source, ... where the loader has them

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__loader__ = module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        name = module.__name__
        if name in sys.modules:
            self.holders.adopt(name)
