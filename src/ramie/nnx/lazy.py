"""Names of `ramie.nnx` that many programs do not use: imported when they are first asked for."""

import importlib
import sys
import warnings
from typing import Any

__all__ = ["LAZY"]

_PARTS = {
    "bridge": ("bridge",),
    "bridge.wrappers": ("wrappers",),
    "deprecations": ("deprecations",),
    "proxy_caller": ("proxy_caller",),
    "reprlib": ("reprlib",),
    "summary": ("summary", "tabulate"),
    "tracers": ("tracers",),
    "traversals": ("traversals",),
    "visualization": ("display", "visualization"),
}
LAZY = {name: home for home, names in _PARTS.items() for name in names}
"""For each name, the module it is, or is in."""

_FORMER = {"VariableState": "variable:Variable", "object": "pytree:"}
"""Names that Flax has given up, and where their subjects are: a module and a name in it."""


def _former(name: str) -> Any:
    home, _, now = _FORMER[name].partition(":")
    module = importlib.import_module(f"ramie.nnx.{home}")
    if now:
        message = f"nnx.{name} is the former name of nnx.{now}."
        warnings.warn(message, DeprecationWarning, stacklevel=3)
    return getattr(module, now) if now else module


def __getattr__(name: str) -> Any:
    if name in _FORMER:
        return _former(name)
    home = LAZY.get(name)
    if home is None:
        raise AttributeError(
            f"module 'ramie.nnx' has no attribute {name!r}; dir(ramie.nnx) lists what it has"
        )
    module = importlib.import_module(f"ramie.nnx.{home}")
    value = module if name == home.rpartition(".")[2] else getattr(module, name)
    setattr(sys.modules["ramie.nnx"], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*vars(sys.modules["ramie.nnx"]), *LAZY})
