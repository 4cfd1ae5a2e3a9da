"""Doors: what a package offers, by name, imported when it is first asked for.

The `__init__` of a room is a table of names and of the files that define them. Whoever imports the
room pays for the table; whoever asks for a name pays for its file, once.

A room says ``from ramie.foundation import doors``. With ``from ramie.foundation.doors import``, a
thread would wait for the package `ramie` while it holds the lock of this file, which the thread
that runs `ramie/__init__` needs.
"""

import importlib
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["TABLES", "Door", "Table", "door", "read"]

_PATHS = Path(__file__).parents[1] / "compat" / "paths"
_IN_AN_ARCHIVE = not _PATHS.is_dir()  # a zip file: folders cannot be asked for

# Two threads that import JAX by different modules of it see halves of it. Nothing in the library
# asks a door while it is imported, so that whoever waits here holds nothing that others wait for.
_ONE_AT_A_TIME = threading.RLock()


class Door(NamedTuple):
    """What a package takes from its door: `__all__`, `__getattr__` and `__dir__`."""

    all: list[str]
    getattr: Callable[[str], Any]
    dir: Callable[[], list[str]]


class Table(NamedTuple):
    """What a package offers.

    Attributes:
      names: for each name the module that defines it, and what it is called there.
      modules: for each name that is a module, the module.
    """

    names: dict[str, tuple[str, str]]
    modules: dict[str, str]


TABLES: dict[str, Table] = {}
"""What each package with a door offers, by its dotted name; of those that are imported."""


def read(package: str, homes: Mapping[str, str], modules: str = "") -> Table:
    """Read the tables of a door.

    Args:
      package: the dotted name of the package.
      homes: for each module its names, separated by blanks. ``Public=internal`` offers a name under
        another one.
      modules: names of modules, separated by blanks: submodules of the package, or ``name=module``
        for one that lies elsewhere.

    Example:
        >>> table = read("ramie.linen", {"ramie.linen.module": "Module"}, "linear nn=ramie.linen")
        >>> table.names, table.modules["nn"]
        ({'Module': ('ramie.linen.module', 'Module')}, 'ramie.linen')
    """
    names = {}
    for home, words in homes.items():
        for word in words.split():
            public, _, internal = word.partition("=")
            names[public] = (home, internal or public)
    found = {}
    for word in modules.split():
        public, _, elsewhere = word.partition("=")
        found[public] = elsewhere or f"{package}.{public}"
    return Table(names, found)


def door(package: str, homes: Mapping[str, str], modules: str = "") -> Door:
    """Make the door of a package; see `read` for the tables.

    A name that was asked for stays in the package, so that it is looked up once. Names that begin
    with an underscore are answered and not listed. The documented paths of Flax that no file of
    the package has (they lie in ``compat/paths``) become importable below it.

    Args:
      package: ``__name__`` of the package.
      homes: for each module its names.
      modules: names of modules.

    Example:
        >>> import types
        >>> offered, answer, listing = door("ramie", {"ramie.foundation.version": "__version__"})
        >>> answer("__version__").count(".")
        2
    """
    table = TABLES[package] = read(package, homes, modules)
    here = sys.modules[package]
    paths = _PATHS.joinpath(*package.split(".")[1:])
    if (paths.is_dir() or _IN_AN_ARCHIVE) and str(paths) not in here.__path__:
        here.__path__.append(str(paths))
    names = (*table.names, *table.modules)
    offered = sorted(name for name in names if name == "__version__" or name[0] != "_")

    listed = f"dir({package}) lists what it has"

    def answer(name: str) -> Any:
        if name in table.names:
            home, internal = table.names[name]
            with _ONE_AT_A_TIME:
                value = getattr(importlib.import_module(home), internal)
        elif name in table.modules:
            value = importlib.import_module(table.modules[name])  # as an import statement would
        else:
            offers = f"it offers {', '.join(offered)}" if len(offered) < 16 else listed
            message = f"module {package!r} has no attribute {name!r}; {offers}"
            raise AttributeError(message, name=name, obj=here)  # Python then suggests a name
        setattr(here, name, value)
        return value

    def listing() -> list[str]:
        return offered

    return Door(offered, answer, listing)
