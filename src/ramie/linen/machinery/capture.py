"""Reaching values inside a model: sow, perturb, capture of intermediates."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from ramie.core.scope.scope import Scope
from ramie.linen.machinery.context import CaptureFilter

__all__ = ["append_to_tuple", "capture_filter", "perturb", "sow"]


def append_to_tuple(held: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    """Collect sown values in a tuple: the default of `sow`."""
    return (*held, value)


def _calls_only(module: Any, method_name: str) -> bool:
    return method_name == "__call__"


def capture_filter(wanted: bool | CaptureFilter) -> CaptureFilter | None:
    """Read the argument `capture_intermediates`: True means every `__call__`."""
    if wanted is True:
        return _calls_only
    return wanted or None


def sow(
    scope: Scope,
    col: str,
    name: str,
    value: Any,
    reduce_fn: Callable[[Any, Any], Any],
    init_fn: Callable[[], Any],
) -> bool:
    """Store a value in a collection if that is mutable; see `Module.sow`."""
    if not scope.is_mutable_collection(col):
        return False
    if scope.has_variable(col, name):
        held = scope.get_variable(col, name)
    else:
        scope.reserve(name, col)
        held = init_fn()
    scope.put_variable(col, name, reduce_fn(held, value))
    return True


def perturb(scope: Scope, name: str, value: Any, collection: str) -> Any:
    """Add a variable that starts as zero to a value; see `Module.perturb`.

    Raises:
      ValueError: if the collection is there but not this variable.
    """
    if scope.is_mutable_collection(collection) and not scope.has_variable(collection, name):
        scope.reserve(name, collection)
        scope.put_variable(collection, name, jnp.zeros_like(value))
    if not scope.has_collection(collection):
        return value
    if not scope.has_variable(collection, name):
        raise ValueError(
            f"Perturbation collection {collection} present, but missing perturbation variable "
            f"{name} at {scope.path_text}. Pass the collection that init returned, or leave it out."
        )
    return value + scope.get_variable(collection, name)
