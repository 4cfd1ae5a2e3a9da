"""What functions do in Python beside what they return: whether running one of equal calls will do.

Where several calls share a trace, Python runs one of them. That is not enough where a function does
something that can be seen: counts in a list, stores in a global, prints, draws numbers of NumPy.
It is found in the code of the function and of those of the same program that it reads; installed
packages are taken to do nothing of that kind.

`reads.py` asks for more: there a trace is used again at any later time, so that it must know all
that is read. Here it is enough that names and containers are the same as at the call before.
"""

import dis
import enum
import functools
import sysconfig
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import (
    BuiltinFunctionType,
    CodeType,
    EllipsisType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import Any, NamedTuple

import jax
import numpy as np

from ramie.core.tracing.reads import codes

__all__ = ["Outside"]

_DEEPEST = 40
_MOST = 1000
_NESTED = 3
_ATOMS = (
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    EllipsisType,
    np.dtype,
    np.generic,
    enum.Enum,
)
_LIBRARIES = frozenset(("jax", "jaxlib", "numpy", "ramie", "flax"))
# Functions and modules of which each call is seen, or differs from the one before.
_VISIBLE = frozenset(("print", "input", "open", "breakpoint", "exec", "eval", "setattr", "globals"))
_VISIBLE_MODULES = frozenset(("logging", "random", "time", "warnings", "sys", "os", "secrets"))
# Methods that change what they belong to.
_CHANGING = frozenset(
    (
        *("append", "appendleft", "extend", "insert", "add", "update", "setdefault", "pop"),
        *("popitem", "popleft", "clear", "remove", "discard", "sort", "reverse", "__setitem__"),
    )
)
_STORES = frozenset(("STORE_GLOBAL", "DELETE_GLOBAL"))
_CELL_STORES = frozenset(("STORE_DEREF", "DELETE_DEREF"))
_CHANGES = frozenset(("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_ATTR", "DELETE_ATTR"))
_WRAPPERS = (MethodType, functools.partial, staticmethod, classmethod, property)
_CODE = (FunctionType, type, *_WRAPPERS)
# Methods that no forward pass calls, or that set what is there for others to set.
_APART = frozenset(
    (
        *("__init__", "__post_init__", "__new__", "__setattr__", "__delattr__", "__repr__"),
        *("__replace__", "__eq__", "__hash__", "__getstate__", "__setstate__"),
    )
)
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")})


class _Facts(NamedTuple):
    """What code says of itself.

    Attributes:
      names: globals that are read.
      attributes: names of attributes, and others.
      stores: whether it stores in a global, or in a variable of a function around it.
      changes: whether it may change an object; attributes of its first argument apart.
      changes_self: whether it may change an attribute of its first argument.
    """

    names: frozenset[str]
    attributes: frozenset[str]
    stores: bool
    changes: bool
    changes_self: bool


@functools.lru_cache(maxsize=1024)
def _facts(code: CodeType) -> _Facts:
    names: set[str] = set()
    attributes: set[str] = set()
    stores = changes = changes_self = False
    for one in codes(code):
        attributes.update(one.co_names)
        before: Any = None
        for step in dis.get_instructions(one):
            if step.opname == "LOAD_GLOBAL":
                names.add(step.argval)
            elif step.opname in _STORES:
                stores = True
            elif step.opname in _CELL_STORES:
                stores |= step.argval in code.co_freevars
            elif step.opname in _CHANGES:
                is_self = step.opname.endswith("ATTR") and (before,) == one.co_varnames[:1]
                changes |= not is_self
                changes_self |= is_self
            if step.opname.startswith("LOAD_FAST"):
                # One instruction may load two; the last one is what is changed.
                before = step.argval[-1] if isinstance(step.argval, tuple) else step.argval
            elif step.opname != "CACHE":
                before = None
    changes |= not _CHANGING.isdisjoint(attributes)
    return _Facts(frozenset(names), frozenset(attributes), stores, changes, changes_self)


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]


class Outside:
    """What methods and functions reach, as it is now.

    Args:
      things: classes, functions, values.
      parts_of: says of an object what there is to look at in its place; None for the object itself.

    Attributes:
      is_seen: whether a call may do something that can be seen in Python, or depend on what other
        calls did.
      attributes: names of attributes, and others, in the code of the same program.

    Example:
      >>> calls = []
      >>> def counts(x):
      ...     calls.append(1)
      ...     return x
      >>> counts = FunctionType(counts.__code__, {"calls": calls, "__name__": "program"})
      >>> Outside([counts]).is_seen, Outside([lambda x: x + 1]).is_seen
      (True, False)
    """

    def __init__(
        self,
        things: Iterable[Any],
        parts_of: Callable[[Any], Iterable[Any] | None] = lambda _: None,
    ) -> None:
        self.attributes: set[str] = set()
        self._parts_of = parts_of
        self._own = ""
        self._met: dict[int, Any] = {}
        self._slots: list[tuple[Mapping[str, Any] | None, Any, Any]] = []
        self._contents: list[tuple[Any, Any]] = []
        self._is_visible = self._changes = self._is_changeable = False
        for thing in things:
            if isinstance(thing, type | FunctionType):
                self._own = self._own or _top(thing.__module__)
            self._visit(thing, _DEEPEST)
        self.is_seen = self._is_visible or (self._changes and self._is_changeable)
        self._met.clear()

    def is_current(self) -> bool:
        """Tell whether names still stand for what they stood for, and containers hold the same."""
        for where, name, value in self._slots:
            if (_in_cell(name) if where is None else where.get(name)) is not value:
                return False
        return all(_is_content(_content(holder), items) for holder, items in self._contents)

    def _visit(self, x: Any, depth: int) -> None:
        if isinstance(x, _ATOMS) or id(x) in self._met:
            return
        if depth == 0 or len(self._met) == _MOST:
            self._is_visible = True  # nobody knows
            return
        self._met[id(x)] = x
        if isinstance(x, FunctionType):
            self._visit_function(x, depth - 1)
        elif isinstance(x, type):
            self._visit_class(x, depth - 1)
        elif isinstance(x, _WRAPPERS):
            self._visit_all(_parts(x), depth)
        elif isinstance(x, ModuleType | BuiltinFunctionType):
            self._is_visible |= x.__name__ in _VISIBLE | _VISIBLE_MODULES
        elif not isinstance(x, jax.Array):  # a tracer shows when the trace has ended
            self._visit_object(x, depth - 1)

    def _visit_all(self, items: Iterable[Any], depth: int) -> None:
        for item in items:
            self._visit(item, depth - 1)

    def _is_library(self, module: str | None, file: str | None) -> bool:
        top = _top(module)
        if top in _LIBRARIES:
            return True
        return top != self._own and file is not None and file.startswith(_INSTALLED)

    def _visit_function(self, f: FunctionType, depth: int) -> None:
        whose = f.__globals__
        if hasattr(f, "__wrapped__"):
            self._visit(f.__wrapped__, depth)
        cells = f.__closure__ or ()
        if self._is_library(whose.get("__name__"), f.__code__.co_filename):
            # A transformation of a library is around functions of others.
            for cell in cells:
                self._visit_all(self._held(_in_cell(cell), _NESTED), depth)
            return
        for cell in cells:
            self._slots.append((None, cell, _in_cell(cell)))
            self._visit(_in_cell(cell), depth)
        facts = _facts(f.__code__)
        self.attributes |= facts.attributes
        self._is_visible |= facts.stores or not _VISIBLE.isdisjoint(facts.names)
        self._changes |= facts.changes
        for name in facts.names & whose.keys():
            self._slots.append((whose, name, whose[name]))
            self._visit(whose[name], depth)
            if isinstance(whose[name], ModuleType):
                self._visit_module(whose[name], facts, depth)
        self._visit_all((*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()), depth)

    def _held(self, x: Any, depth: int) -> Iterator[Any]:
        """Yield what code may be in something that a library keeps."""
        if isinstance(x, _CODE) or self._parts_of(x) is not None:
            yield x
        elif depth:
            inner: Iterable[Any] = ()
            if isinstance(x, Mapping):
                inner = x.values()
            elif isinstance(x, tuple | list):
                inner = x
            elif _top(type(x).__module__) == "ramie":
                inner = getattr(x, "__dict__", {}).values()
            for one in inner:
                yield from self._held(one, depth - 1)

    def _visit_module(self, module: ModuleType, facts: _Facts, depth: int) -> None:
        self._is_visible |= module is np and "random" in facts.attributes
        # What has no file is built in.
        if self._is_library(module.__name__, getattr(module, "__file__", None) or _INSTALLED[0]):
            return
        held = vars(module)
        for name in facts.attributes & held.keys():
            self._slots.append((held, name, held[name]))
            self._visit(held[name], depth)

    def _visit_class(self, cls: type, depth: int) -> None:
        for base in cls.__mro__:
            if _top(base.__module__) in _LIBRARIES or base.__module__ in ("builtins", "abc"):
                continue
            for name, value in tuple(vars(base).items()):
                if isinstance(value, (FunctionType, *_WRAPPERS)) and (
                    not name.startswith("__") or name == "__call__"
                ):
                    self._visit(value, depth)

    def _visit_object(self, x: Any, depth: int) -> None:
        parts = self._parts_of(x)
        if parts is not None:
            self._visit_all(parts, depth)
            return
        kind = type(x)
        if _top(kind.__module__) in _LIBRARIES and not isinstance(x, np.ndarray):
            # What `jit`, `custom_jvp` and the like return is around functions of others.
            self._visit(getattr(x, "__wrapped__", None) if callable(x) else None, depth)
            return
        content = _content(x)
        if content is not None:
            self._contents.append((x, content))
            self._visit_all(() if isinstance(x, np.ndarray) else content, depth)
        if isinstance(x, tuple | frozenset) and not hasattr(x, "__dict__"):
            return
        self._is_changeable = True
        self._is_visible |= _top(kind.__module__) in _VISIBLE_MODULES
        for base in kind.__mro__[:-1]:
            for name, value in tuple(vars(base).items()):
                if isinstance(value, FunctionType) and name not in _APART:
                    facts = _facts(value.__code__)
                    self._changes |= facts.changes or facts.changes_self or facts.stores


def _in_cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing is in it yet
        return None


def _parts(x: Any) -> tuple[Any, ...]:
    if isinstance(x, functools.partial):
        return x.func, *x.args, *x.keywords.values()
    if isinstance(x, property):
        return x.fget, x.fset, x.fdel
    return (x.__func__, x.__self__) if isinstance(x, MethodType) else (x.__func__,)


def _content(x: Any) -> Any:
    """Return what a container or an object holds, to be compared by `_is_content`."""
    if isinstance(x, Mapping):
        return (*x, *x.values())
    if isinstance(x, tuple | list | set | frozenset | deque):
        return tuple(x)
    if isinstance(x, np.ndarray):
        return x.tobytes() if x.flags.writeable else b""
    held = getattr(x, "__dict__", None)
    return tuple(held.values()) if type(held) is dict else None


def _is_content(now: Any, before: Any) -> bool:
    if isinstance(now, bytes):
        return bool(now == before)
    return len(now) == len(before) and all(a is b for a, b in zip(now, before, strict=True))
