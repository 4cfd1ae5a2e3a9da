"""Names of `ramie.nnx` that many programs do not use: imported when they are first asked for."""

import importlib
import sys
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


def __getattr__(name: str) -> Any:
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
