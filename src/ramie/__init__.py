"""Ramie: the Flax programming model for JAX, on one small core.

`import ramie` imports nothing heavy, not even JAX: each module below is loaded when it is first
named, as in `ramie.linen.Dense`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ramie.version import __version__ as __version__

if TYPE_CHECKING:
    from ramie import checkpoint as checkpoint
    from ramie import compat as compat
    from ramie import configurations as configurations
    from ramie import core as core
    from ramie import cursor as cursor
    from ramie import errors as errors
    from ramie import ids as ids
    from ramie import io as io
    from ramie import jax_utils as jax_utils
    from ramie import linen as linen
    from ramie import nnx as nnx
    from ramie import ops as ops
    from ramie import serialization as serialization
    from ramie import struct as struct
    from ramie import traceback_util as traceback_util
    from ramie import training as training
    from ramie import traverse_util as traverse_util
    from ramie import typing as typing
    from ramie.configurations import config as config

__all__ = [
    "__version__",
    "checkpoint",
    "compat",
    "config",
    "configurations",
    "core",
    "cursor",
    "errors",
    "ids",
    "io",
    "jax_utils",
    "linen",
    "nnx",
    "ops",
    "serialization",
    "struct",
    "traceback_util",
    "training",
    "traverse_util",
    "typing",
]


def __getattr__(name: str) -> Any:
    """Load a module of Ramie, or its flags (`ramie.config`), when it is first asked for."""
    if name == "config":
        return importlib.import_module("ramie.configurations").config
    if name in __all__:
        return importlib.import_module(f"ramie.{name}")
    raise AttributeError(f"module 'ramie' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
