"""The module objects behind the bare names `flax` and `flax_extra`."""

import importlib
from types import ModuleType
from typing import Any

import ramie
from ramie.compat.version import __version__ as peer_version
from ramie.foundation.version import __version__ as ramie_version


class Namespace(ModuleType):
    """The root of an aliased package: Ramie's public names under another name and version.

    It is the only module of an aliased tree that is not shared with Ramie, because its
    `__version__` must be the one that existing code compares against.

    Args:
        name: the package it stands for, "flax" or "flax_extra".
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, f"`{name}` as answered by Ramie {ramie_version}.")
        self.__version__ = peer_version
        self.__file__ = ramie.__file__
        self.__path__ = list(ramie.__path__) if name == "flax" else []

    def __getattr__(self, name: str) -> Any:
        """Look a public name up in Ramie, the names that moved away included."""
        if self.__name__ == "flax" and not name.startswith("__"):
            if name == "optim":
                return importlib.import_module("flax.optim")
            try:
                value = getattr(ramie, name)
            except AttributeError:
                pass
            else:
                # By its alias, so that what the alias table puts below a package is there too.
                is_module = isinstance(value, ModuleType)
                return importlib.import_module(f"flax.{name}") if is_module else value
        raise AttributeError(
            f"module {self.__name__!r} has no attribute {name!r}: `{self.__name__}` is Ramie "
            f"{ramie_version} here, because ramie.compat is installed in this process"
        )

    def __dir__(self) -> list[str]:
        """List what Ramie's root offers."""
        inherited = dir(ramie) if self.__name__ == "flax" else []
        return sorted({*super().__dir__(), *inherited})
