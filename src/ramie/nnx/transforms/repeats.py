"""Functions that branches and loops hand to JAX once more, so that it does not trace them again.

JAX knows a function by its identity. So what stands around a function of a user is made once, and
kept together with what the function reads from outside of its arguments: variables of closures,
globals, defaults. If any of that is another one at the next call, everything is made anew. What
holds data (arrays, variables, modules), or cannot be compared, is never kept: a trace would take
its values for constants.
"""

import collections
import enum
import functools
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Set
from types import BuiltinFunctionType, CodeType, EllipsisType, FunctionType, ModuleType
from typing import Any, TypeVar

import jax
import numpy as np

from ramie.configurations import FLAGS, config
from ramie.nnx.intercept import is_watched
from ramie.nnx.modes import using_eager_sharding
from ramie.nnx.transforms.extract import Boundary, Operands, Outline
from ramie.nnx.transforms.statics import without_cells
from ramie.nnx.variable import defaults

__all__ = ["Given", "Repeatable", "repeated"]

R = TypeVar("R", bound="Repeatable")

_KEPT = 128
"""How many sets of functions are kept: those that were used last."""

_DEEPEST = 4
_LONGEST = 32
_PLAIN = (
    *(int, float, complex, str, bytes, type(None), EllipsisType),
    *(np.generic, np.dtype, enum.Enum),
)
_LIBRARIES = frozenset(("jax", "jaxlib", "numpy", "ramie", "flax")) | sys.stdlib_module_names


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
        self.read: Any = None

    def settle(self) -> None:
        """Note what the functions read from outside, after they were traced."""
        if self.was_traced:
            self.read = _read_by(self.functions)
            self.was_traced = False


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
    if not given.may_repeat or is_watched():
        return kind(edge, functions)
    flags = tuple(getattr(config, flag.name) for flag in FLAGS)
    here = (defaults.here.hijax, defaults.here.ref, using_eager_sharding())
    key = (kind, edge.mode, functions, flags, here)
    try:
        found: Any = _kept.get(key)
    except TypeError:  # a function that cannot be hashed
        return kind(edge, functions)
    if found is None or found.read is None or found.read != _read_by(functions):
        found = kind(edge, functions)
    with _lock:
        _kept[key] = found
        _kept.move_to_end(key)
        if len(_kept) > _KEPT:
            _kept.popitem(last=False)
    kept: R = found
    return kept


# --- what functions read --------------------------------------------------------------------------


class _Unknown(Exception):
    """Something that is read may change without being another one."""


def _read_by(functions: tuple[Callable[..., Any], ...]) -> Any:
    """Return what functions read from outside, to be compared; None if it cannot be."""
    try:
        return tuple(_described(f, _DEEPEST, set(), frozenset()) for f in functions)
    except _Unknown:
        return None


def _described(x: Any, depth: int, seen: set[int], names: Set[str]) -> Any:
    """Return something that is equal while `x` is what it was.

    Args:
      x: what is read.
      depth: how deep to look.
      seen: functions and namespaces that are described already.
      names: what the code that reads it names: what it may look up in a namespace.
    """
    if isinstance(x, _PLAIN):
        return type(x), x
    if _belongs_to_library(x) or id(x) in seen:
        return x
    if depth == 0:
        raise _Unknown
    if isinstance(x, FunctionType):
        seen.add(id(x))
        names = _names(x.__code__)
        read = ((name, _described(v, depth - 1, seen, names)) for name, v in _outside(x, names))
        return x, tuple(read)
    deeper = functools.partial(_described, depth=depth - 1, seen=seen, names=names)
    if isinstance(x, ModuleType | type):
        seen.add(id(x))
        found = [(name, vars(x)[name]) for name in sorted(names) if name in vars(x)]
        return x, tuple((name, deeper(value)) for name, value in found)
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
    if isinstance(x, ModuleType | type):
        name = x.__name__ if isinstance(x, ModuleType) else x.__module__
        return _top(name) in _LIBRARIES
    if isinstance(x, BuiltinFunctionType):
        return True
    return callable(x) and _top(type(x).__module__) in ("jax", "jaxlib", "numpy")


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _outside(f: FunctionType, names: Set[str]) -> Iterator[tuple[str, Any]]:
    """List what a function can read without being given it; `names` are those in its code."""
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # nothing is in it yet
            yield name, None
    yield "defaults", f.__defaults__
    yield "keyword defaults", f.__kwdefaults__
    for name in sorted(names):
        if name in f.__globals__:
            yield name, f.__globals__[name]


def _names(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found
