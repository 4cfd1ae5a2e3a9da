"""What happens around each method call of a module.

Every function in a class body is wrapped once, when the class is made. The wrapper runs `setup` on
first use, opens the naming of a compact method, puts the module on the thread's stack, and gives
interceptors and `capture_intermediates` their turn.
"""

import contextlib
import dataclasses
import functools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax

from ramie import errors
from ramie.errors.base import belongs_to
from ramie.linen.machinery.base import ModuleBase
from ramie.linen.machinery.context import context, interceptors, named_call, wants_sharing
from ramie.linen.machinery.plan import SHARES
from ramie.linen.machinery.sharing import call_shared, share_traces
from ramie.linen.machinery.state import DONE, NEW, RUNNING, ModuleState
from ramie.ops.eager.meshes import note_remedy

__all__ = [
    "InterceptorContext",
    "compact",
    "compact_name_scope",
    "disable_named_call",
    "enable_named_call",
    "intercept_methods",
    "nowrap",
    "override_named_call",
    "run_setup",
    "shareable",
    "wrap_class",
    "wrap_method_once",
]

F = TypeVar("F", bound=Callable[..., Any])

# Methods that Python itself calls on instances in any state.
_UNWRAPPED = frozenset(
    {
        "__init__",
        "__post_init__",
        "__new__",
        "__del__",
        "__init_subclass__",
        "__class_getitem__",
        "__setattr__",
        "__getattr__",
        "__getattribute__",
        "__delattr__",
        "__dir__",
        "__repr__",
        "__str__",
        "__eq__",
        "__ne__",
        "__hash__",
        "__reduce__",
        "__reduce_ex__",
        "__getstate__",
        "__setstate__",
        "__copy__",
        "__deepcopy__",
        "__set_name__",
    }
)

_plain_scope = contextlib.nullcontext()
_PLACE = "In module "


# Marks ---------------------------------------------------------------------------------------


def compact(fun: F) -> F:
    """Let a method define parameters and submodules where it uses them.

    Submodules that are constructed in it without a name are called after their class with a
    number: ``Dense_0``, ``Dense_1``.
    """
    fun.compact = True  # type: ignore[attr-defined]
    return fun


def nowrap(fun: F) -> F:
    """Leave a method as it is: no setup, no naming, no interception around it."""
    fun.nowrap = True  # type: ignore[attr-defined]
    return fun


def compact_name_scope(fun: F) -> F:
    """Make a method compact, with its parameters and submodules under the method's own name."""
    fun.compact_name_scope = True  # type: ignore[attr-defined]
    return fun


# Named calls ---------------------------------------------------------------------------------


def enable_named_call() -> None:
    """Show methods under their module's name in profiles and compiled programs (the default).

    Like all switches of named calls it holds for this thread or asynchronous task only.
    """
    named_call.set(True)


def disable_named_call() -> None:
    """Stop showing methods under their module's name."""
    named_call.set(False)


@contextlib.contextmanager
def override_named_call(enable: bool = True) -> Iterator[None]:
    """Switch named calls on or off inside a `with` block."""
    before = named_call.set(enable)
    try:
        yield
    finally:
        named_call.reset(before)


# Interception --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class InterceptorContext:
    """What an interceptor is told about the call.

    Attributes:
      module: the module.
      method_name: the name of the method.
      orig_method: the method without any interceptor.
    """

    module: ModuleBase
    method_name: str
    orig_method: Callable[..., Any]


Interceptor = Callable[
    [Callable[..., Any], tuple[Any, ...], dict[str, Any], InterceptorContext], Any
]


@contextlib.contextmanager
def intercept_methods(interceptor: Interceptor) -> Iterator[None]:
    """Run `interceptor` around every method call inside the `with` block.

    Calls of other threads and asynchronous tasks are not intercepted.

    Args:
      interceptor: called as ``interceptor(next_fun, args, kwargs, context)``; it returns the
        result, usually ``next_fun(*args, **kwargs)``. Of several, the one entered last is the
        closest to the method.
    """
    before = interceptors.set((*interceptors.get(), interceptor))
    try:
        yield
    finally:
        interceptors.reset(before)


def _intercepted(
    module: ModuleBase, name: str, fun: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    bound = types.MethodType(fun, module)
    about = InterceptorContext(module, name, bound)
    call: Callable[..., Any] = bound
    for interceptor in reversed(interceptors.get()):
        call = functools.partial(_one_interceptor, interceptor, call, about)
    return call(*args, **kwargs)


def _one_interceptor(
    interceptor: Interceptor,
    call: Callable[..., Any],
    about: InterceptorContext,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    return interceptor(call, args, kwargs, about)


# Calls ---------------------------------------------------------------------------------------


def run_setup(module: ModuleBase) -> None:
    """Run `setup` of a bound module, unless it has run or is running."""
    own = module.__dict__
    state = own["_state"]
    if state.setup_called is not NEW:
        return
    if not module._plan.has_setup:
        state.setup_called = DONE
        return
    state.setup_called = RUNNING
    state.in_setup = True
    context.stack.append(module)
    finished = False
    try:
        with _label(module, "setup"):
            setup = type(module).setup
            if interceptors.get():
                _intercepted(module, "setup", setup, (), {})
            else:
                setup(module)
        _capture(module, "setup", None)
        finished = True
    finally:
        context.stack.pop()
        state.in_setup = False
        state.setup_called = DONE if finished else NEW


def _label(module: ModuleBase, method_name: str) -> Any:
    """Return the context that names the equations of a method."""
    if not named_call.get():
        return _plain_scope
    name = module.__dict__["name"] or type(module).__name__
    return jax.named_scope(name if method_name == "__call__" else f"{name}.{method_name}")


def _note_place(error: Exception, module: ModuleBase, method_name: str) -> None:
    """Say under an error's message which module it comes from, unless a module below has."""
    scope = module.__dict__["scope"]
    notes = getattr(error, "__notes__", ())
    if scope is not None and not any(note.startswith(_PLACE) for note in notes):
        error.add_note(f"{_PLACE}{type(module).__name__}.{method_name} at {scope.path_text}")
        note_remedy(error)


def _capture(module: ModuleBase, name: str, output: Any) -> None:
    """Store what a method returned if `capture_intermediates` wants it."""
    wanted = context.capture[-1]
    if wanted is not None and module.__dict__["scope"] is not None and wanted(module, name):
        module.sow("intermediates", name, output)


def _called(module: ModuleBase, fun: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
    if interceptors.get():
        return _intercepted(module, name, fun, args, kwargs)
    return fun(module, *args, **kwargs)


def _run(module: ModuleBase, fun: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
    """Call the method itself: on the stack, named, intercepted, its output captured."""
    stack = context.stack
    stack.append(module)
    try:
        with _label(module, name):
            if SHARES in module.__dict__:
                with share_traces(module.__dict__[SHARES]):
                    output = _called(module, fun, name, args, kwargs)
            elif interceptors.get():
                output = _intercepted(module, name, fun, args, kwargs)
            else:
                output = fun(module, *args, **kwargs)
        if context.capture[-1] is not None:
            _capture(module, name, output)
        return output
    except Exception as error:
        _note_place(error, module, name)
        raise
    finally:
        stack.pop()


def _unbound(module: ModuleBase) -> Exception:
    """Make the error of a compact method that is called without variables."""
    name = type(module).__name__
    outer = context.stack[-1] if context.stack else None
    holder = outer if outer is not None else _holder_in_nnx()
    remedy = ""
    if outer is not None:
        remedy = (
            f"It is used in {type(outer).__name__} and was not made in setup() or a compact method "
            f"of it: write self.layer = nn.{name}(...) in setup(), or nn.{name}(...)(x) under "
            "@nn.compact."
        )
        if type(outer).__init__.__code__.co_filename != "<string>":  # not the generated one
            remedy += " In place of __init__, declare fields: width: int."
    elif holder is not None:
        remedy = (
            f"It is used in {type(holder).__name__}, a module of NNX. Wrap it there: "
            f"self.layer = nnx.bridge.ToNNX(nn.{name}(...), rngs=rngs).lazy_init(x)."
        )
    return errors.CallCompactUnboundModuleError(module=name, remedy=remedy)


def _holder_in_nnx() -> Any:
    """Return the module of NNX whose method runs, None if there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        first = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
        if belongs_to(first, "nnx"):
            return first
        frame = frame.f_back  # type: ignore[assignment]
    return None


def shareable(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Let calls of a transformed method be shared, as those of plain methods are.

    Args:
      method: takes a module and arguments.
      name: its name.
    """

    # Not `call` by its own name: a function that holds itself holds what it closes over, such as
    # a bound module with its arrays, until the garbage collector runs.
    def in_place(module: Any, /, *args: Any, **kwargs: Any) -> Any:
        _marked(module)
        return method(module, *args, **kwargs)

    def call(module: Any, /, *args: Any, **kwargs: Any) -> Any:
        if wants_sharing() and isinstance(module, ModuleBase) and not _marked(module):
            return call_shared(module, in_place, lambda: _label(module, name), args, kwargs)
        return method(module, *args, **kwargs)

    return call


def _marked(module: ModuleBase) -> bool:
    """Tell whether a method is not to be shared this time, and take the mark away."""
    if context.in_place is not module:
        return False
    context.in_place = None
    return True


def _wrap_setup(fun: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fun)
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        own = self.__dict__
        if own.get("scope") is None:
            raise errors.CallSetupUnboundModuleError(module=type(self).__name__)
        if own["_state"].setup_called is RUNNING:
            return fun(self, *args, **kwargs)
        run_setup(self)  # by hand: as before any other method, once
        return None

    return method


def _wrap_plain(fun: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(fun)
    def in_place(self: Any, /, *args: Any, **kwargs: Any) -> Any:  # see `shareable`
        _marked(self)
        return _run_plain(self, fun, name, args, kwargs)

    @functools.wraps(fun)
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if wants_sharing() and not _marked(self):
            return call_shared(self, in_place, lambda: _label(self, name), args, kwargs)
        return _run_plain(self, fun, name, args, kwargs)

    return method


def _run_plain(
    self: Any, fun: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    own = self.__dict__
    if own["scope"] is not None and own["_state"].setup_called is NEW:
        run_setup(self)
    return _run(self, fun, name, args, kwargs)


def _wrap_compact(fun: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(fun)
    def in_place(self: Any, /, *args: Any, **kwargs: Any) -> Any:  # see `shareable`
        _marked(self)
        return _run_compact(self, fun, name, args, kwargs)

    @functools.wraps(fun)
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if wants_sharing() and not _marked(self):
            return call_shared(self, in_place, lambda: _label(self, name), args, kwargs)
        return _run_compact(self, fun, name, args, kwargs)

    return method


def _run_compact(
    self: Any, fun: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    own = self.__dict__
    state = own["_state"]
    if own["scope"] is None:
        raise _unbound(self)
    if state.setup_called is NEW:
        run_setup(self)
    if state.in_compact_method:  # called by another compact method: one naming for both
        return _run(self, fun, name, args, kwargs)
    scope = own["scope"]
    held = scope.reservations
    scope.reservations = dict(held)
    state.autoname_cursor = {}
    state.in_compact_method = True
    try:
        return _run(self, fun, name, args, kwargs)
    finally:
        # The names are free again for the next call.
        state.in_compact_method = False
        scope.reservations = held


def _wrap_name_scope(fun: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(fun)
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        own = self.__dict__
        state, scope = own["_state"], own["scope"]
        if scope is None:
            raise _unbound(self)
        if state.setup_called is NEW:
            run_setup(self)
            scope = own["scope"]
        inner = ModuleState()
        inner.is_initialized = inner.in_compact_method = True
        inner.setup_called = DONE
        own["scope"], own["_state"] = scope.push(name, reuse=True), inner
        try:
            return _run(self, fun, name, args, kwargs)
        finally:
            own["scope"], own["_state"] = scope, state

    return method


def wrap_method_once(fun: F) -> F:
    """Wrap a method as a class body would; a method that is wrapped or must not be is returned."""
    if getattr(fun, "_ramie_wrapped", False) or getattr(fun, "nowrap", False):
        return fun
    name = getattr(fun, "__name__", "unnamed_function")
    if name == "setup":
        method = _wrap_setup(fun)
    elif getattr(fun, "compact_name_scope", False):
        method = _wrap_name_scope(fun, name)
    elif getattr(fun, "compact", False):
        method = _wrap_compact(fun, name)
    else:
        method = _wrap_plain(fun, name)
    method._ramie_wrapped = True  # type: ignore[attr-defined]
    # By this mark other projects find out that `__wrapped__` is what the class body has.
    method.method_handler_wrapped = True  # type: ignore[attr-defined]
    return method  # type: ignore[return-value]


def wrap_class(cls: type, fields: frozenset[str]) -> None:
    """Wrap the functions that a class body defines; functions that are field defaults are not."""
    for name, value in list(cls.__dict__.items()):
        if isinstance(value, types.FunctionType) and name not in _UNWRAPPED and name not in fields:
            setattr(cls, name, wrap_method_once(value))
