"""What JAX is tracing right now: the one place that looks behind JAX's public interface."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar
from weakref import ref

import jax
from jax._src import source_info_util as jax_source_info  # no public way hides frames of a library
from jax._src import traceback_util as jax_tracebacks
from jax._src.core import (
    eval_context,  # the public ensure_compile_time_eval stays in the trace
    physical_aval,  # for an element type of our own, as are the next three
    trace_ctx,  # no public way tells which trace owns a tracer
)
from jax._src.dtypes import ExtendedDType as ExtendedDType
from jax._src.interpreters.pxla import global_aval_to_result_handler
from jax._src.sharding_impls import physical_sharding
from jax.extend.core import get_opaque_trace_state

from ramie import errors

__all__ = [
    "ExtendedDType",
    "api_boundary",
    "at_traced_forward",
    "check_trace_level",
    "current_trace",
    "extended_result_handler",
    "hide_frames",
    "is_box",
    "is_leak",
    "is_top_level",
    "leaves_nothing_behind",
    "new_box",
    "outside_traces",
    "show_frames",
    "trace_token",
]

F = TypeVar("F", bound=Callable[..., Any])


def current_trace() -> Any:
    """Return a token that is equal for two moments under the same JAX transformations."""
    return get_opaque_trace_state()


def trace_token() -> Any:
    """Return a token like that of `current_trace`, at a third of its cost: compare with ``is``.

    It does not keep the trace alive; the token of a trace that is over is equal to no later one.
    """
    return ref(trace_ctx.trace)


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


def is_top_level() -> bool:
    """Tell whether JAX traces nothing here: operations on arrays are executed at once."""
    return trace_ctx.is_top_level()


def leaves_nothing_behind(token: Any) -> bool:
    """Tell whether a trace that has ended is gone, and so no tracer of it was kept anywhere.

    Args:
      token: what `current_trace` gave inside the trace.
    """
    return token._trace_ref() is None  # every tracer holds its trace


class _Here(threading.local):
    """The trace state of the forward pass that `init` traces in this thread, if it does."""

    level: Any = None


_here = _Here()


@contextmanager
def traced_forward() -> Iterator[Any]:
    """Declare the trace that runs now to be one of a forward pass whose outputs nobody wants.

    Yields:
      What `current_trace` gives.
    """
    outer, _here.level = _here.level, current_trace()
    try:
        yield _here.level
    finally:
        _here.level = outer


def at_traced_forward() -> bool:
    """Tell whether this runs in such a trace, and in no transformation inside it."""
    level = _here.level
    return level is not None and bool(level == current_trace())


def outside_traces() -> AbstractContextManager[None]:
    """Execute, for the length of a ``with`` block, operations on arrays at once.

    A tracer in such an operation is an error.
    """
    return eval_context()


def api_boundary(fun: F) -> F:
    """Let exceptions that leave `fun` show the caller's frames, without those that are hidden.

    What is left out follows `hide_frames` and `jax_traceback_filtering`. Boundaries inside one
    another act as one. It costs a call and a `try`, so it belongs on entry points, not on layers.
    """
    return jax_tracebacks.api_boundary(fun)


def hide_frames(paths: Iterable[str]) -> None:
    """Hide frames of files, or of all files in folders, from tracebacks and source positions."""
    for path in paths:
        for registry in (jax_tracebacks, jax_source_info):
            if path not in registry._exclude_paths:
                registry.register_exclusion(path)


def show_frames(paths: Iterable[str]) -> None:
    """Take `hide_frames` back."""
    for path in paths:
        for registry in (jax_tracebacks, jax_source_info):
            if path in registry._exclude_paths:
                registry._exclude_paths.remove(path)
    jax_source_info._exclude_path_regex.cache_clear()
    jax_source_info.is_user_filename.cache_clear()


def extended_result_handler(aval: Any, out_sharding: Any, committed: bool) -> Any:
    """Return what makes an array of an extended element type from the buffers of a program."""
    from jax._src.earray import EArray  # the only class of arrays for extended types

    stored = physical_aval(aval)
    handler: Any = global_aval_to_result_handler(
        stored, physical_sharding(aval, out_sharding), committed
    )
    return handler.wrap(lambda array: EArray(aval, array))


def new_box(value: Any) -> Any:
    """Make a cell of JAX's experimental high-level types that holds a pytree of arrays.

    What is stored in it with `set`, under whatever transformation, is there for `get` afterwards,
    also if it has another structure.
    """
    # jax.experimental.hijax has the parts of which a cell can be made, but not all of them.
    from jax._src.hijax import Box

    return Box(value)


def is_box(x: Any) -> bool:
    """Tell whether something is a cell that `new_box` made, or stands for one under a trace."""
    from jax._src.hijax import Box

    return isinstance(x, Box)
