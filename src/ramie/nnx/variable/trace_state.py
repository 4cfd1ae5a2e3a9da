"""Under which transformation an object was made, as other projects read and change it."""

from typing import Any

from ramie.core.tracing.trace import trace_token

__all__ = ["TraceState"]


class TraceState:
    """A view of the transformation under which a variable or a Pytree was made.

    Frameworks that infer shapes under a trace of their own assign `_jax_trace`, so that what was
    made meanwhile may be changed afterwards.

    Args:
      holder: an object with an attribute `_trace_token`.

    Example:
        >>> from ramie import nnx
        >>> nnx.Param(1.0)._trace_state.is_valid()
        True
    """

    __slots__ = ("_holder",)

    def __init__(self, holder: Any) -> None:
        self._holder = holder

    @property
    def _jax_trace(self) -> Any:
        return self._holder._trace_token

    @_jax_trace.setter
    def _jax_trace(self, token: Any) -> None:
        object.__setattr__(self._holder, "_trace_token", token)

    @property
    def jax_trace(self) -> Any:
        """What `current_jax_trace` gave when the object was made."""
        return self._jax_trace

    def is_valid(self) -> bool:
        """Tell whether the same transformation runs now."""
        return self._jax_trace is trace_token()

    def __repr__(self) -> str:
        return f"TraceState(jax_trace={self._jax_trace!r})"
