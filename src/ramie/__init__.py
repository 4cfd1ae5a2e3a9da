"""Ramie: the Flax programming model for JAX, on one small core.

`import ramie` imports nothing heavy, not even JAX: each module below is loaded when it is first
named, as in `ramie.linen.Dense`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ramie.version import __version__ as __version__

if TYPE_CHECKING:
    from ramie.configurations import config as config

_MODULES = (
    "checkpoint",
    "compat",
    "configurations",
    "core",
    "cursor",
    "errors",
    "ids",
    "io",
    "jax_utils",
    "linen",
    "ops",
    "serialization",
    "struct",
    "traceback_util",
    "training",
    "traverse_util",
    "typing",
)

__all__ = ["__version__", "config", *_MODULES]


def __getattr__(name: str) -> Any:
    """Load a module of Ramie, or its flags (`ramie.config`), when it is first asked for."""
    if name == "config":
        return importlib.import_module("ramie.configurations").config
    if name in _MODULES:
        return importlib.import_module(f"ramie.{name}")
    raise AttributeError(f"module 'ramie' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
