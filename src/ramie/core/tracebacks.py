"""Tracebacks that show the user's code and not the library's.

JAX filters the frames of exceptions that pass an API boundary, as `jax_traceback_filtering` says.
Ramie adds its own machinery to what is filtered. Frames of layers stay: they say where in a model
an error happened. The flag `flax_filter_frames` decides whether filtering is on at the start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ramie.core.tracing import trace
from ramie.foundation.configurations import config

__all__ = [
    "api_boundary",
    "hide_flax_in_tracebacks",
    "register_exclusion",
    "show_flax_in_tracebacks",
]

C = TypeVar("C", bound=Callable[..., Any])

_PACKAGE = Path(__file__).parents[1]
_INTERNAL = (
    "core",
    "linen/inspection",
    "linen/machinery",
    "linen/module.py",
    "linen/sharding",
    "linen/transforms",
    "trees/frozen.py",
)
_flax_exclusions = {str(_PACKAGE / place) for place in _INTERNAL}
_hidden = False


def api_boundary(fun: C, *, repro_api_name: str | None = None, repro_user_func: bool = False) -> C:
    """Make a function one from which filtered tracebacks leave.

    Args:
        fun: The function.
        repro_api_name: Accepted for Flax's signature; what it records is not recorded here.
        repro_user_func: Likewise.
    """
    return trace.api_boundary(fun)


def register_exclusion(path: str) -> None:
    """Count the frames of a file as internal.

    Args:
        path: The file, usually ``__file__``, or a folder.
    """
    _flax_exclusions.add(path)
    if _hidden:
        trace.hide_frames([path])


def hide_flax_in_tracebacks() -> None:
    """Leave the library's frames out of tracebacks."""
    global _hidden
    _hidden = True
    trace.hide_frames(_flax_exclusions)


def show_flax_in_tracebacks() -> None:
    """Show the library's frames in tracebacks; those of JAX stay as JAX is set to treat them."""
    global _hidden
    _hidden = False
    trace.show_frames(_flax_exclusions)


if config.flax_filter_frames:
    hide_flax_in_tracebacks()
