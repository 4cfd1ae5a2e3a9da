"""Modules that agree are traced once: calls by way of an earlier call's program.

Under `jax.jit`, the first of several equal calls runs where it stands. The second is traced as a
function of all arrays in its arguments, the module among them, and it and all later ones call that
function; what it stores to variables, counts of random streams included, are results. What calls
agree in is their key (`agreeing.py`). Whatever else a call does shows in the first or in the second
one, and then each of these calls is traced where it stands.
"""

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import jax
from jax.tree_util import tree_flatten

from ramie.core.tracing.abstract import with_values, without_tracers
from ramie.core.tracing.program import NotShared, Program
from ramie.core.tracing.trace import is_compiled, trace_token
from ramie.foundation.configurations import config
from ramie.nnx.graph.walk import has_identity
from ramie.nnx.modules.agreeing import Known, Parts, settings
from ramie.nnx.modules.containers import Sequential
from ramie.nnx.modules.intercept import called_by
from ramie.nnx.modules.module import Module
from ramie.nnx.variable.base import Variable

__all__ = ["share_traces", "shared_call"]

# Below so many variables a call costs as much as tracing what it calls.
_FEWEST_VARIABLES = 3
_MOST_PROGRAMS = 512
_LAYERS = "ramie.nnx.layers."
_COMPOSED = ("attention", "recurrent", "repeat")  # they hold layers
_OTHERS = ("ramie.nnx.modules.containers", "ramie.nnx.bridge.", "ramie.nnx.training.")


@contextlib.contextmanager
def share_traces(enable: bool = True) -> Iterator[None]:
    """Trace modules that agree once inside the ``with`` block, in place of each for itself.

    It concerns modules that are called while `jax.jit`, `nnx.jit` or another compiling function
    traces inside the block, in this thread, and whose classes exist when the block or that trace
    begins. ``nnx.jit(..., share_traces=True)`` does it for one function, and the flag
    ``ramie_share_traces`` for all functions that `nnx.jit` and `nnx.eval_shape` trace; the closest
    of them decides.

    Calls are shared if they agree in class, structure, static attributes, shapes and dtypes of
    variables and arguments, and settings of JAX, and if the module has at least three variables.
    Variables may be stored to, and random streams counted on. Results are those without sharing,
    in every bit once compiled. Traced for themselves, as without, are calls that change attributes
    or structure (`sow` that stores), have hooks or variables that any function may change, read
    traced values that are no arguments, have effects or callbacks, run under `nnx.capture` of
    method outputs, or that fail.

    Args:
      enable: False switches it off inside the block.

    Example:
      >>> import jax
      >>> from ramie import nnx
      >>> class Block(nnx.Module):
      ...     def __init__(self, rngs):
      ...         self.up = nnx.Linear(4, 8, rngs=rngs)
      ...         self.down = nnx.Linear(8, 4, rngs=rngs)
      ...     def __call__(self, x):
      ...         return x + self.down(nnx.relu(self.up(x)))
      >>> class Tower(nnx.Module):
      ...     def __init__(self, rngs):
      ...         self.blocks = nnx.List([Block(rngs) for _ in range(12)])
      ...     def __call__(self, x):
      ...         for block in self.blocks:
      ...             x = block(x)
      ...         return x
      >>> model = Tower(nnx.Rngs(0))
      >>> with nnx.share_traces():
      ...     shared = nnx.jit(Tower.__call__).lower(model, jax.numpy.ones((1, 4)))
      >>> shared.as_text().count("call @Block")
      11
    """
    before = _here.wanted, _here.session, _here.loose, _here.running
    classes = _classes() if enable else ()
    session = before[1] or _Session() if enable and is_compiled() else None
    try:
        with called_by(classes, _call if enable else None):
            _here.wanted, _here.session, _here.loose = enable, session, None
            yield
    finally:
        _here.wanted, _here.session, _here.loose, _here.running = before


def shared_call(
    wanted: bool | None, fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a function inside of its trace, and share what it calls if that is wanted.

    Args:
      wanted: whether it is; None for what was said further out, or by the flag.
      fun: the function.
      args: its arguments.
      kwargs: more.
    """
    if wanted is None:
        wanted = config.ramie_share_traces if _here.wanted is None else _here.wanted
    if not wanted and not _here.wanted:
        return fun(*args, **kwargs)
    with share_traces(wanted):
        return fun(*args, **kwargs)


def _classes() -> set[type]:
    """Find the classes whose methods may be shared: of users, and of layers that hold layers."""
    found: set[type] = set()
    seen: set[type] = set()
    left: list[type] = [Module]
    while left:
        cls = left.pop()
        if cls not in seen:
            seen.add(cls)
            left.extend(cls.__subclasses__())
            found.update(cls.__mro__)
    return {cls for cls in found.difference(Module.__mro__) if _is_composed(cls)}


def _is_composed(cls: type) -> bool:
    module = cls.__module__
    if module.startswith(_LAYERS):
        return module.removeprefix(_LAYERS).startswith(_COMPOSED)
    return cls is Sequential or not module.startswith(_OTHERS)


# The call ----------------------------------------------------------------------------------


class _Session:
    """What is known of calls within one trace.

    Attributes:
      known: descriptions of what never changes.
      programs: by key `_ONCE`, `_NEVER`, or a program.
      seen: classes and methods that were called.
    """

    __slots__ = ("known", "programs", "seen")

    def __init__(self) -> None:
        self.known: Known = {}
        self.programs: dict[Hashable, Any] = {}
        self.seen: set[tuple[type, str]] = set()


class _Here(threading.local):
    """What is going on in this thread.

    Attributes:
      wanted: whether calls are shared, if anybody said so.
      session: of the trace that runs, if it has one.
      loose: the session of calls outside of any other, and the trace it is of.
      running: the modules whose methods run.
    """

    wanted: bool | None = None
    session: _Session | None = None
    loose: tuple[Any, _Session] | None = None
    running: tuple[Any, ...] = ()


_here = _Here()
_ONCE, _NEVER = object(), object()


def _call(
    module: Any, name: str, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a method of a module, by way of an equal call's program if there is one."""
    running = _here.running
    if not _may_share(module, running):
        return method.__get__(module, type(module))(*args, **kwargs)
    outer = _here.session
    session = outer or _loose_session()
    _here.session, _here.running = session, (*running, module)
    try:
        first = type(module), name
        if first not in session.seen and (not running or type(module) is Sequential):
            session.seen.add(first)  # a whole model, most likely
            return method.__get__(module, type(module))(*args, **kwargs)
        return _shared(session, module, name, method, args, kwargs)
    finally:
        _here.session, _here.running = outer, running


def _may_share(module: Any, running: tuple[Any, ...]) -> bool:
    return isinstance(module, Module) and not any(module is x for x in running) and is_compiled()


def _loose_session() -> _Session:
    now = trace_token()
    if _here.loose is None or _here.loose[0] is not now:
        _here.loose = now, _Session()
    return _here.loose[1]


def _shared(
    session: _Session,
    module: Any,
    name: str,
    method: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    programs = session.programs
    roots = (module, args, kwargs)
    try:
        call = Parts(roots, session.known)
        if sum(isinstance(leaf, Variable) for leaf in call.leaves) < _FEWEST_VARIABLES:
            raise NotShared("has few variables")
        key = (type(module), name, call.structure, call.shapes, settings())
        known = programs.get(key)
    except Exception:  # what a user's object says when it is compared, too
        return method.__get__(module, type(module))(*args, **kwargs)
    if known is _ONCE:
        try:
            known = _Shared(call, method, session.known)
        except Exception:  # if it is the user's, it comes again and names this module
            known = _NEVER
        programs[key] = known
    if known is not None and known is not _NEVER:
        return known.run(call)
    y = method.__get__(module, type(module))(*args, **kwargs)
    if known is None:
        if len(programs) == _MOST_PROGRAMS:
            programs.clear()
        programs[key] = _ONCE if _is_as_before(session, call, roots) else _NEVER
    return y


def _is_as_before(session: _Session, call: Parts, roots: tuple[Any, ...]) -> bool:
    try:
        return Parts(roots, session.known).are_still(call)
    except Exception:
        return False


# The program -------------------------------------------------------------------------------


class _Shared:
    """The program of calls that agree.

    Args:
      call: one of them.
      method: what they call.
      known: see `Parts`.

    Raises:
      NotShared: if it does more than store values and return some.
    """

    __slots__ = ("_count", "_program", "_written", "_y")

    def __init__(self, call: Parts, method: Any, known: Known) -> None:
        def traced(*arrays: Any) -> list[Any]:
            roots = call.rebuilt(arrays)
            before = Parts(roots, known)
            module, args, kwargs = roots
            running, _here.running = _here.running, (*_here.running, module)
            try:
                y = method.__get__(module, type(module))(*args, **kwargs)
            finally:
                _here.running = running
            after = Parts(roots, known)
            if not after.are_still(before):
                raise NotShared("changes more than values of variables")
            return self._noted(y, before, after, call.may_store)

        self._count = 0
        self._written: tuple[int, ...] = ()
        self._y: Any = None
        self._program = Program(traced, call.arrays, type(call.objects[0]).__name__)

    def _noted(self, y: Any, before: Parts, after: Parts, may_store: Sequence[bool]) -> list[Any]:
        for leaf in tree_flatten(y, is_leaf=has_identity)[0]:
            if not isinstance(leaf, jax.core.Tracer | int | float | complex | str):
                raise NotShared(f"returns a {type(leaf).__name__}")
        self._y, outputs = without_tracers(y)
        self._count = len(outputs)
        written = []
        pairs = zip(before.arrays_by_leaf(), after.arrays_by_leaf(), strict=True)
        for number, (old, new) in enumerate(pairs):
            if any(a is not b for a, b in zip(old, new, strict=True)):
                if not may_store[number] or not all(isinstance(x, jax.core.Tracer) for x in new):
                    raise NotShared("stores a constant, or to a variable of another trace")
                written.append(number)
                outputs.extend(new)
        self._written = tuple(written)
        return outputs

    def run(self, call: Parts) -> Any:
        """Call the program, store what it has stored, and return what the method returns."""
        results = self._program(call.arrays)
        rest = iter(results[self._count :])
        for number in self._written:
            call.leaves[number].set_raw_value(call.value(number, rest))
        return with_values(self._y, results[: self._count])
