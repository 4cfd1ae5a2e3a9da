"""Functions that branches and loops hand to JAX once more, so that it does not trace them again.

JAX knows a function by its identity. So what stands around a function of a user is made once, and
kept together with what the function reads from outside of its arguments: variables of closures,
globals, defaults, and what functions that it calls read. Only plain values, plain containers and
functions are looked at. A function that reads anything else (arrays, variables, modules, a class or
a module of a user, an attribute of its own) is never kept: a trace would take its values for
constants, and the memory would keep them alive.
"""

import collections
import dis
import enum
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from types import BuiltinFunctionType, CodeType, EllipsisType, FunctionType, ModuleType
from typing import Any, TypeVar

import jax
import numpy as np

from ramie.foundation.configurations import FLAGS, config
from ramie.nnx.modes import using_eager_sharding
from ramie.nnx.modules.intercept import is_watched
from ramie.nnx.transforms.arguments.boundary import Boundary
from ramie.nnx.transforms.arguments.operands import Operands
from ramie.nnx.transforms.arguments.outline import Outline
from ramie.nnx.transforms.arguments.statics import without_cells
from ramie.nnx.variable import defaults
from ramie.ops.eager.replaced import nothing_is_replaced

__all__ = ["Given", "Repeatable", "repeated"]

R = TypeVar("R", bound="Repeatable")

_KEPT = 128
"""How many sets of functions are kept: those that were used last."""

_DEEPEST = 4
_LONGEST = 32
_EXACT = (int, str, bytes, type(None), EllipsisType, np.dtype, enum.Enum)
_LIBRARIES = frozenset(("jax", "jaxlib", "numpy", "ramie", "flax", "math", "builtins"))
_LOADS = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"))
# What these find, the code does not say.
_HIDDEN = frozenset(("globals", "locals", "vars", "eval", "exec", "__import__", "__builtins__"))


class Given:
    """What passes to a function beside values: a pytree without leaves, and equal if they may be.

    Args:
      operands: the arguments of a transformation, with one prefix.

    Attributes:
      outline: their structure.
      cells: mutable cells among the values, by position.
      values: the other values; not part of the pytree.
    """

    __slots__ = ("cells", "may_repeat", "outline", "values")

    outline: Outline
    cells: Mapping[int, Any]

    def __init__(self, operands: Operands) -> None:
        self.outline = operands.outline
        self.values, self.cells = without_cells(operands.groups[0])
        self.may_repeat = not self.cells
        try:
            hash(self.outline)
        except TypeError:  # static values that can change
            self.may_repeat = False

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, Given):
            return self is other
        return self.may_repeat and other.may_repeat and self.outline == other.outline

    def __hash__(self) -> int:
        return hash(self.outline) if self.may_repeat else id(self)

    def without_values(self) -> "Given":
        """Return the same for keeping."""
        other = object.__new__(Given)
        other.outline, other.cells, other.may_repeat = self.outline, self.cells, self.may_repeat
        other.values = []
        return other if self.may_repeat else self


jax.tree_util.register_pytree_node(Given, lambda x: ((), x.without_values()), lambda x, _: x)


class Repeatable:
    """What stands around some functions: that which JAX calls.

    Args:
      edge: the boundary.
      functions: the functions.

    Attributes:
      was_traced: whether something was traced since `settle`.
    """

    def __init__(self, edge: Boundary, functions: tuple[Callable[..., Any], ...]) -> None:
        self.edge = edge
        self.functions = functions
        self.was_traced = True
        self.key: Any = None
        self.read: Any = None

    def settle(self) -> None:
        """Note what the functions read from outside, after they were traced, and keep them."""
        if not self.was_traced:
            return
        self.was_traced = False
        self.read = None if self.key is None else _read_by(self.functions)
        with _lock:
            if self.read is None:
                _kept.pop(self.key, None)
                return
            _kept[self.key] = self
            _kept.move_to_end(self.key)
            if len(_kept) > _KEPT:
                _kept.popitem(last=False)


_kept: collections.OrderedDict[Any, Repeatable] = collections.OrderedDict()
_lock = threading.Lock()


def repeated(
    kind: type[R], edge: Boundary, functions: tuple[Callable[..., Any], ...], given: Given
) -> R:
    """Return what stood around the same functions before, if it may be used again, else a new one.

    Args:
      kind: a class derived from `Repeatable`.
      edge: the boundary; it has one prefix for all arguments.
      functions: the functions.
      given: what they are called with.
    """
    # What a trace kept while a function of JAX was another one would be used for all times.
    if not given.may_repeat or is_watched() or not nothing_is_replaced():
        return kind(edge, functions)
    flags = tuple(getattr(config, flag.name) for flag in FLAGS)
    here = (defaults.here.hijax, defaults.here.ref, using_eager_sharding())
    key = (kind, edge.mode, functions, flags, here)
    try:
        found: Any = _kept.get(key)
    except TypeError:  # a function that cannot be hashed
        return kind(edge, functions)
    if found is None or found.read != _read_by(functions):
        found = kind(edge, functions)
        found.key = key
    kept: R = found
    return kept


# --- what functions read --------------------------------------------------------------------------


class _Unknown(Exception):
    """Something that is read may change without being another one."""


def _read_by(functions: tuple[Callable[..., Any], ...]) -> Any:
    """Return what functions read from outside, to be compared; None if it cannot be."""
    try:
        return tuple(_described(f, _DEEPEST, set()) for f in functions)
    except _Unknown:
        return None


def _described(x: Any, depth: int, seen: set[int]) -> Any:
    """Return something that is equal while `x` is what it was.

    Args:
      x: what is read.
      depth: how deep to look.
      seen: functions that are described already.

    Raises:
      _Unknown: if nothing tells.
    """
    if isinstance(x, _EXACT):
        return type(x), x
    if isinstance(x, float | complex | np.generic):
        return type(x), np.asarray(x).tobytes()  # 0.0 and -0.0 are equal as numbers
    if _belongs_to_library(x) or id(x) in seen:
        return x
    if depth == 0:
        raise _Unknown
    deeper = functools.partial(_described, depth=depth - 1, seen=seen)
    if isinstance(x, FunctionType) and not x.__dict__:
        seen.add(id(x))
        return x, tuple((name, deeper(value)) for name, value in _outside(x))
    if type(x) is functools.partial:
        return deeper(x.func), deeper(x.args), deeper(x.keywords)
    if type(x) in (tuple, list, set, frozenset, dict) and len(x) <= _LONGEST:
        if type(x) is dict:
            return dict, tuple((deeper(key), deeper(value)) for key, value in x.items())
        return type(x), tuple(map(deeper, x))
    raise _Unknown


def _belongs_to_library(x: Any) -> bool:
    """Tell whether something is of a library, and reads nothing that changes."""
    if isinstance(x, FunctionType):
        # What a library made of a function of a user reads what that reads.
        return x.__closure__ is None and _top(x.__module__) in _LIBRARIES
    if isinstance(x, ModuleType):
        return _top(x.__name__) in _LIBRARIES
    if isinstance(x, type):
        return _top(x.__module__) in _LIBRARIES
    if isinstance(x, BuiltinFunctionType):
        return isinstance(x.__self__, ModuleType | None)
    wrapped = getattr(x, "__wrapped__", None)  # by jit, custom_jvp and the like
    if wrapped is not None and not _belongs_to_library(wrapped):
        return False
    return callable(x) and _top(type(x).__module__) in ("jax", "jaxlib", "numpy")


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _outside(f: FunctionType) -> Iterator[tuple[str, Any]]:
    """List what a function can read without being given it."""
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # nothing is in it yet
            yield name, None
    yield "defaults", f.__defaults__
    yield "keyword defaults", f.__kwdefaults__
    names = _globals_of(f.__code__)
    if names is None:
        raise _Unknown
    found = {name: f.__globals__[name] for name in names if name in f.__globals__}
    if np in found.values() and "random" in f.__code__.co_names:
        raise _Unknown  # numbers of NumPy's own stream
    yield from found.items()


@functools.lru_cache(maxsize=1024)
def _globals_of(code: CodeType) -> tuple[str, ...] | None:
    """Return the globals that code and functions inside it load, or None if it hides some."""
    found: set[str] = set()
    for step in dis.get_instructions(code):
        if step.opname in _LOADS:
            found.add(step.argval)
        elif step.opname == "IMPORT_NAME":
            return None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = _globals_of(constant)
            if inner is None:
                return None
            found.update(inner)
    return None if found & _HIDDEN else tuple(sorted(found))
