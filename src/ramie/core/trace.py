"""What JAX is tracing right now: the one place that looks behind JAX's public interface."""

from typing import Any

import jax
from jax._src.core import trace_ctx  # no public way tells which trace owns a tracer
from jax.extend.core import get_opaque_trace_state

from ramie import errors

__all__ = ["check_trace_level", "current_trace", "is_leak"]


def current_trace() -> Any:
    """Return a token that is equal for two moments under the same JAX transformations."""
    return get_opaque_trace_state()


def check_trace_level(base_level: Any) -> None:
    """Raise `JaxTransformError` unless JAX traces exactly what it traced at `base_level`."""
    if base_level != current_trace():
        raise errors.JaxTransformError()


def is_leak(base_level: Any, value: Any) -> bool:
    """Tell whether storing `value` would carry a tracer out of a transformation begun later.

    Args:
      base_level: the token from when the place that would store it was made.
      value: the value; only a single array is looked at.
    """
    if not isinstance(value, jax.core.Tracer) or base_level == current_trace():
        return False
    return getattr(value, "_trace", None) is trace_ctx.trace
