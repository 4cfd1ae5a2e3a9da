"""Pure functions on arrays: no state, no names, randomness only through an explicit key."""

import importlib
from typing import Any

_MODULES = (
    "activations",
    "attention",
    "conv",
    "dispatch",
    "dtypes",
    "initializers",
    "linear",
    "moments",
    "norm",
    "pooling",
    "recurrent",
    "rotary",
    "stochastic",
    "weight_norm",
)

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Load a module of operations when it is first named."""
    if name in _MODULES:
        return importlib.import_module(f"ramie.ops.{name}")
    raise AttributeError(f"module 'ramie.ops' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
