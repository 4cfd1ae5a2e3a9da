"""Under which transformation of JAX the program runs."""

from typing import Any

from ramie.core.tracing.trace import trace_token
from ramie.nnx.printing import reprlib as reprlib
from ramie.nnx.variable.trace_state import TraceState as TraceState

__all__ = ["TraceState", "current_jax_trace", "reprlib"]


def current_jax_trace() -> Any:
    """Return an object that stands for the innermost transformation that runs now.

    Example:
        >>> current_jax_trace() == current_jax_trace()
        True
    """
    return trace_token()
