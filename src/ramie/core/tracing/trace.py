"""What JAX is tracing right now: the one place that looks behind JAX's public interface.

A version of JAX may lack any name that is not public. So each is taken by a function of its own,
which `_unless_missing` calls; where it is missing, something public does the same more slowly, or
does less; where nothing can, `MissingInJaxError` says so to who asks for the feature. Nothing here
makes an import fail.
"""

import contextlib
import functools
import re
import sys
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar
from weakref import ref

import jax
from jax.extend.core import get_opaque_trace_state

from ramie import errors

__all__ = [
    "ExtendedDType",
    "api_boundary",
    "at_traced_forward",
    "box_owner",
    "check_trace_level",
    "current_trace",
    "extended_result_handler",
    "has_boxes",
    "hide_frames",
    "in_deprecated_mesh",
    "is_box",
    "is_compiled",
    "is_leak",
    "is_top_level",
    "leaves_nothing_behind",
    "made_and_used",
    "new_box",
    "outside_traces",
    "show_frames",
    "trace_settings",
    "trace_token",
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def _unless_missing(take: Callable[[], T]) -> T | None:
    """Return what a function takes from JAX, or None if this JAX does not have it."""
    try:
        return take()
    except (ImportError, AttributeError, TypeError):
        return None


def _missing(name: str, purpose: str) -> errors.MissingInJaxError:
    return errors.MissingInJaxError(name, purpose, jax.__version__)


def _wanted(error: ImportError) -> str:
    """Return the whole name of what an import did not find."""
    name = re.match(r"cannot import name '(\w+)'", error.msg)
    return f"{error.name}.{name[1]}" if name else f"{error.name}"


def _take_trace_context() -> Any:
    from jax._src.core import trace_ctx  # no public way tells which trace owns a tracer

    ref(trace_ctx.trace)
    trace_ctx.is_top_level()
    return trace_ctx


_context: Any = _unless_missing(_take_trace_context)


def current_trace() -> Any:
    """Return a token that is equal for two moments under the same JAX transformations."""
    return get_opaque_trace_state()


class _Tokens:
    """One token for each trace, where JAX does not show its traces: the states met before."""

    def __init__(self) -> None:
        self._known: list[Any] = []
        self._lock = threading.Lock()

    def of(self, state: Any) -> Any:
        """Return the first one of the states that are equal to `state`."""
        with self._lock:
            for token in reversed(self._known):
                if token == state:
                    return token
            if len(self._known) % 64 == 63:
                self._known = [token for token in self._known if not _is_over(token)]
            self._known.append(state)
        return state


def _is_over(state: Any) -> bool:
    """Tell whether the trace of a state is known to be gone."""
    owner = getattr(state, "_trace_ref", None)
    return owner is not None and owner() is None


_tokens = _Tokens()

if _context is not None:

    def trace_token() -> Any:
        """Return a token like that of `current_trace`, at a third of its cost: compare with ``is``.

        It does not keep the trace alive; the token of a trace that is over is equal to no later
        one.
        """
        return ref(_context.trace)

else:

    def trace_token() -> Any:
        """Return a token like that of `current_trace`: compare with ``is``."""
        return _tokens.of(current_trace())


_LEVELS = {
    "EvalTrace": "outside of all JAX transformations",
    "DynamicJaxprTrace": "inside of jit, scan or another transformation that makes a program",
    "BatchTrace": "inside of vmap",
    "JVPTrace": "inside of grad or jvp",
    "LinearizeTrace": "inside of grad or linearize",
}


def made_and_used(token: Any) -> str:
    """Say where a `trace_token` was taken, and where this is asked, in words of two clauses."""
    made, here = _level_of(token), _level_of(trace_token())
    where = "inside of another one" if made == here else here
    return f"it was made {made}, and is changed {where}"


def _level_of(token: Any) -> str:
    if not isinstance(token, ref):  # of another library, or of a JAX that does not show its traces
        return "at another level"
    trace = token()
    if trace is None:
        return "inside of a JAX transformation that is over"
    return _LEVELS.get(type(trace).__name__, "inside of a JAX transformation")


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
    if _context is None:
        return False  # nobody can tell; JAX itself names the tracer when it is used too late
    return getattr(value, "_trace", None) is _context.trace


def is_top_level() -> bool:
    """Tell whether JAX traces nothing here: operations on arrays are executed at once."""
    return bool(_context.is_top_level() if _context is not None else current_trace() == _idle())


def is_compiled() -> bool:
    """Tell whether a `jax.jit` is being traced here: what is traced runs as one compiled program.

    Where JAX does not show its traces, the answer is False.
    """
    trace = None if _context is None else _context.trace
    while trace is not None:
        described = getattr(getattr(trace, "frame", None), "debug_info", None)
        if getattr(described, "traced_for", None) == "jit":
            return True
        trace = getattr(trace, "parent_trace", None)
    return False


def _take_trace_settings() -> Any:
    from jax._src.config import trace_context  # what `jax.jit` looks at; no public way tells it

    hash(trace_context())
    return trace_context


_trace_settings: Any = _unless_missing(_take_trace_settings)


def trace_settings() -> Hashable:
    """Return something equal for two moments under the same settings and meshes of JAX.

    Where JAX does not tell, it is equal to nothing.
    """
    settings: Hashable = object() if _trace_settings is None else _trace_settings()
    return settings


@functools.cache
def _idle() -> Any:
    """Return the state of a thread in which nothing was ever traced."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(current_trace()))
    thread.start()
    thread.join()
    return found[0]


def leaves_nothing_behind(token: Any, rules: int = 0) -> bool:
    """Tell whether a trace that has ended is gone, and so no tracer of it was kept anywhere.

    Args:
      token: what `current_trace` gave inside the trace.
      rules: how many calls of functions with derivatives of their own the traced program has, if it
        is kept: JAX keeps the trace with each of them.
    """
    owner = getattr(token, "_trace_ref", None)
    trace = None if owner is None else owner()
    if not rules or trace is None:
        return _is_over(token)  # every tracer holds its trace
    alone = object()
    return sys.getrefcount(trace) - sys.getrefcount(alone) == rules


class _Here(threading.local):
    """The trace state of the forward pass that `init` traces in this thread, if it does."""

    level: Any = None


_here = _Here()


@contextmanager
def traced_forward() -> Iterator[Any]:
    """Declare the trace that runs now to be one of a forward pass whose outputs nobody wants.

    Yields:
      What `current_trace` gives.

    Raises:
      MissingInJaxError: if this JAX lets nobody compute values inside of a trace.
    """
    if _eval_context is None:
        raise _missing("jax._src.core.eval_context", "trace the forward pass of init")
    outer, _here.level = _here.level, current_trace()
    try:
        yield _here.level
    finally:
        _here.level = outer


def at_traced_forward() -> bool:
    """Tell whether this runs in such a trace, and in no transformation inside it."""
    level = _here.level
    return level is not None and bool(level == current_trace())


def _take_entered_meshes() -> Any:
    from jax._src.mesh import thread_resources  # what `with mesh:` enters; no public way tells it

    thread_resources.env.physical_mesh.empty  # noqa: B018
    return thread_resources


_entered: Any = _unless_missing(_take_entered_meshes)


def in_deprecated_mesh() -> bool:
    """Tell whether the code runs inside `with mesh:`, which JAX has deprecated."""
    return _entered is not None and not _entered.env.physical_mesh.empty


def _take_eval_context() -> Any:
    from jax._src.core import eval_context  # the public ensure_compile_time_eval stays in the trace

    return eval_context


_eval_context: Any = _unless_missing(_take_eval_context)


def outside_traces() -> AbstractContextManager[None]:
    """Execute, for the length of a ``with`` block, operations on arrays at once.

    A tracer in such an operation is an error. Where `traced_forward` is refused, the block is as
    any other: there is no trace to step out of.
    """
    entered: AbstractContextManager[None] = (
        contextlib.nullcontext() if _eval_context is None else _eval_context()
    )
    return entered


def _take_api_boundary() -> Any:
    from jax._src.traceback_util import api_boundary  # no public way filters frames

    return api_boundary


_api_boundary: Any = _unless_missing(_take_api_boundary)


def api_boundary(fun: F) -> F:
    """Let exceptions that leave `fun` show the caller's frames, without those that are hidden.

    What is left out follows `hide_frames` and `jax_traceback_filtering`. Boundaries inside one
    another act as one. It costs a call and a `try`, so it belongs on entry points, not on layers.
    Where JAX does not offer it, all frames are shown.
    """
    return fun if _api_boundary is None else _api_boundary(fun)


def _take_traceback_frames() -> Any:
    from jax._src import traceback_util

    return traceback_util._exclude_paths, traceback_util.register_exclusion, lambda: None


def _take_source_frames() -> Any:
    from jax._src import source_info_util

    return (
        source_info_util._exclude_paths,
        source_info_util.register_exclusion,  # public as well, but there is no public way back
        source_info_util._exclude_path_regex.cache_clear,
    )


def _take_cache_of_user_frames() -> Any:
    from jax._src.source_info_util import is_user_filename

    return is_user_filename.cache_clear


# What is hidden, how to hide more, and how to have it looked at again.
_registries: list[tuple[list[str], Callable[[str], None], Callable[[], None]]] = [
    registry
    for take in (_take_traceback_frames, _take_source_frames)
    if (registry := _unless_missing(take)) is not None
]
_forget_user_frames: Any = _unless_missing(_take_cache_of_user_frames)


def hide_frames(paths: Iterable[str]) -> None:
    """Hide frames of files, or of all files in folders, from tracebacks and source positions.

    Where JAX does not let anybody, they are shown.
    """
    for path in paths:
        for hidden, hide, _ in _registries:
            if path not in hidden:
                hide(path)


def show_frames(paths: Iterable[str]) -> None:
    """Take `hide_frames` back."""
    for path in paths:
        for hidden, _, _ in _registries:
            if path in hidden:
                hidden.remove(path)
    for _, _, look_again in _registries:
        look_again()
    if _forget_user_frames is not None:
        _forget_user_frames()


_OWN_ELEMENT_TYPES = "use element types of its own, as those of the scales of fp8 arithmetic"


def _take_extended_dtype() -> Any:
    from jax._src.dtypes import ExtendedDType  # for an element type of our own

    return ExtendedDType


class _NoExtendedDType:
    """The base of element types where JAX knows none: JAX asks any for its `dtype` first."""

    @property
    def dtype(self) -> Any:
        """Say that there are no such types."""
        raise _missing("jax._src.dtypes.ExtendedDType", _OWN_ELEMENT_TYPES)


ExtendedDType: Any = _unless_missing(_take_extended_dtype) or _NoExtendedDType


def extended_result_handler(aval: Any, out_sharding: Any, committed: bool) -> Any:
    """Return what makes an array of an extended element type from the buffers of a program.

    Raises:
      MissingInJaxError: if this JAX lacks a part that it takes.
    """
    try:
        from jax._src.core import physical_aval
        from jax._src.earray import EArray  # the only class of arrays for extended types
        from jax._src.interpreters.pxla import global_aval_to_result_handler
        from jax._src.sharding_impls import physical_sharding
    except ImportError as error:
        raise _missing(_wanted(error), _OWN_ELEMENT_TYPES) from error

    stored = physical_aval(aval)
    handler: Any = global_aval_to_result_handler(
        stored, physical_sharding(aval, out_sharding), committed
    )
    return handler.wrap(lambda array: EArray(aval, array))


_ARITHMETIC = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow"),
    *("lshift", "rshift", "and", "or", "xor"),
)
# What a cell with an owner has of it: operators, and attributes by name.
_OPERATORS = (
    *_ARITHMETIC,
    *(f"r{name}" for name in _ARITHMETIC),
    *("lt", "le", "gt", "ge", "neg", "pos", "invert", "abs", "getitem", "setitem", "len", "iter"),
)
_METHODS = (
    *("get_value", "set_value", "get_raw_value", "set_raw_value", "__jax_array__"),
    *("get_metadata", "has_metadata", "copy", "replace"),
)
_PROPERTIES = ("value", "type", "hijax", "ref")


def _take_boxes() -> tuple[Any, Any]:
    """Return JAX's class of cells, and one of cells with owners."""
    # jax.experimental.hijax has the parts of which a cell can be made, but not all of them.
    from jax._src.hijax import Box, BoxTy  # type: ignore[attr-defined, unused-ignore]
    from jax.experimental.hijax import aval_method, aval_property, register_hitype

    class OwnedBoxType(BoxTy):  # type: ignore[misc, valid-type, unused-ignore]
        """The type of a cell with an owner, which what stands for the cell under a trace has."""

        def __init__(self, owner: Any) -> None:
            self.owner = owner

        def __eq__(self, other: object) -> bool:
            return isinstance(other, OwnedBoxType) and bool(self.owner == other.owner)

        def __hash__(self) -> int:
            return hash((OwnedBoxType, self.owner))

        def str_short(self, *_: Any, **__: Any) -> str:
            return f"Box[{self.owner}]"

        def new_from_loval(self, box_state: Any, *lo_vals: Any) -> Any:
            return OwnedBox.around(super().new_from_loval(box_state, *lo_vals).get(), self.owner)

        def to_tangent_aval(self) -> Any:
            return self

        def to_ct_aval(self) -> Any:
            raise TypeError(
                f"JAX differentiates nothing with respect to a box, which {self.owner} is in. Give "
                "the function nnx.with_vars(x, mutable=False) of what it is differentiated by, or "
                "make the variable without hijax=True."
            )

        def lower_val(self, *_: Any) -> Any:
            raise TypeError(
                f"A function under a JAX transformation cannot return a box, which {self.owner} is "
                "in. The caller sees what is stored in it; return values, variable[...], or "
                "nnx.with_vars(x, hijax=False)."
            )

    class OwnedBox(Box):  # type: ignore[misc, valid-type, unused-ignore]
        """A cell with an owner."""

        owner: Any

        @classmethod
        def around(cls, value: Any, owner: Any) -> Any:
            box: Any = object.__new__(cls)
            box._val, box.owner = value, owner
            return box

        @property
        def ty(self) -> Any:
            return OwnedBoxType(self.owner)

    for name in _OPERATORS:
        setattr(OwnedBox, f"__{name}__", _method(f"__{name}__"))
        setattr(OwnedBoxType, f"_{name}", _method_of_type(f"__{name}__"))
    for name in _METHODS:
        setattr(OwnedBox, name, _method(name))
        setattr(OwnedBoxType, name, aval_method(_method(name)))
    for name in _PROPERTIES:
        setattr(OwnedBox, name, property(_getter(name)))
        setattr(OwnedBoxType, name, aval_property(_getter(name)))
    register_hitype(OwnedBox, lambda box: box.ty)
    return Box, OwnedBox


def _getter(name: str) -> Callable[[Any], Any]:
    return lambda box: getattr(box_owner(box).of(box), name)


def _method(name: str) -> Callable[..., Any]:
    return lambda box, *args, **kwargs: getattr(box_owner(box).of(box), name)(*args, **kwargs)


def _method_of_type(name: str) -> Callable[..., Any]:
    return lambda aval, box, *args: getattr(aval.owner.of(box), name)(*args)


_Box: Any
_OwnedBox: Any
_Box, _OwnedBox = _unless_missing(_take_boxes) or (None, None)


def has_boxes() -> bool:
    """Tell whether this JAX has cells of high-level types: `new_box` works."""
    return _Box is not None


def new_box(value: Any, owner: Any = None) -> Any:
    """Make a cell of JAX's experimental high-level types that holds a pytree of arrays.

    What is stored in it with `set`, under whatever transformation, is there for `get` afterwards,
    also if it has another structure.

    Args:
      value: what it holds.
      owner: says what the cell belongs to: ``owner.of(cell)`` is an object around it, whose methods
        and operators the cell has. It is part of the type of the cell, and has a hash. A cell that
        is made under a trace has none.

    Raises:
      MissingInJaxError: if this JAX has none.
    """
    if _Box is None:
        try:
            _take_boxes()
        except ImportError as error:
            raise _missing(_wanted(error), "keep a value in a box") from error
    if owner is not None and is_top_level():
        return _OwnedBox.around(value, owner)
    return _Box(value)


def box_owner(box: Any) -> Any:
    """Return the owner of a cell, or of what stands for one under a trace; None if it has none."""
    holder = box.aval if isinstance(box, jax.core.Tracer) else box
    return getattr(holder, "owner", None)


def is_box(x: Any) -> bool:
    """Tell whether something is a cell that `new_box` made, or stands for one under a trace."""
    return _Box is not None and isinstance(x, _Box)
