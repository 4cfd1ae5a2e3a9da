"""Mistakes, and how messages about them begin: in words that documentation or tests show."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

KEY = jax.random.key(0)
X = jnp.ones((2, 3))
UNKNOWN = jax.ShapeDtypeStruct((2, 3), jnp.float32)


class Library:
    """The modules of a package by attribute, as in ``Library("ramie").training.checkpoints``.

    Args:
      name: the package, or a module in it.
    """

    def __init__(self, name: str) -> None:
        self._module = importlib.import_module(name)

    def __getattr__(self, name: str) -> Any:
        path = f"{self._module.__name__}.{name}"
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            return getattr(self._module, name)
        return Library(path)


class Row(NamedTuple):
    """One mistake.

    Args:
      program: makes it; takes a `Library`.
      error: name of the class of the error, a builtin one or one of the catalogue.
      beginning: of the message.
      peer: whether Flax's message begins alike; else it says nothing, or something else.
    """

    program: Callable[[Any], Any]
    error: str
    beginning: str
    peer: bool = True
