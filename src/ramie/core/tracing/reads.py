"""What functions and classes read from outside of their arguments, as a value to be compared.

A trace may be used in place of another one if its function is the same, and so is all that it reads
beside what it is given: variables of closures, globals, defaults, the methods of classes, and what
functions that it calls read. Only plain values, plain containers, functions and classes are looked
at; of modules of libraries, the attributes that are read. Whatever else is read (arrays, variables,
objects of a user, a module of a user) may change without being another one, and a trace would take
its values for constants. What functions and classes of this library read is not looked at: see
`ramie.core.tracing.replaced`.

Functions are compared by their code, not by identity: what is written as a lambda in a call is
another function each time.
"""

import abc
import dataclasses
import dis
import enum
import functools
from collections.abc import Iterable, Iterator, Mapping
from types import (
    BuiltinFunctionType,
    CodeType,
    EllipsisType,
    FunctionType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, NamedTuple

import numpy as np

from ramie.core.tracing.sameness import Same

__all__ = ["Reading", "codes", "is_plain", "names_in", "read_by"]

_DEEPEST = 10
_LONGEST = 32
_MOST = 400
_EXACT = (int, str, bytes, type(None), EllipsisType, np.dtype, enum.Enum)
_NUMBERS = (float, complex, np.generic)
_OWN = __name__.partition(".")[0]
_LIBRARIES = frozenset(
    (
        *("jax", "jaxlib", "numpy", _OWN, "flax"),
        *("math", "builtins", "dataclasses", "functools", "operator", "typing", "abc"),
    )
)
_LOADS = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"))
_CELL_LOADS = frozenset(("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"))
_ATTRIBUTES = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
_STORES = frozenset(("STORE_GLOBAL", "DELETE_GLOBAL"))
_CELL_STORES = frozenset(("STORE_DEREF", "DELETE_DEREF"))
# What these find, the code does not say.
_HIDDEN = frozenset(("globals", "locals", "vars", "eval", "exec", "__import__", "__builtins__"))
# What these do is seen each time that they are called.
_VISIBLE = frozenset(("print", "input", "open", "breakpoint", "setattr", "delattr"))
# Entries that every class has, or that are made from the others.
_OF_ALL_CLASSES = frozenset(
    (
        "__module__",
        "__qualname__",
        "__dict__",
        "__weakref__",
        "__doc__",
        "__annotations__",
        "__annotations_cache__",
        "__annotate__",
        "__annotate_func__",
        "__type_params__",
        "__static_attributes__",
        "__firstlineno__",
        "__parameters__",
        "__orig_bases__",
        "__abstractmethods__",
        "_abc_impl",
        "__dataclass_params__",
        "__dataclass_fields__",
        "__match_args__",
        "__slots__",
    )
)
_DESCRIPTORS = (BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType)


class Reading(NamedTuple):
    """What something reads from outside.

    Attributes:
      content: equal while all of it is what it was; usually it has a hash.
      functions: the identities of all functions that were met.
      is_visible: whether something is done that can be seen each time, such as printing.
    """

    content: Any
    functions: tuple[int, ...]
    is_visible: bool


def read_by(things: Iterable[Any]) -> Reading | None:
    """Find out what functions and classes read from outside.

    Args:
      things: functions, partials of them, classes, plain values.

    Returns:
      What they read; None if some of it may change without being another one.

    Example:
        >>> def scale(x, by=2.0):
        ...     return by * x
        >>> read_by([scale]) == read_by([scale]), read_by([scale]) == read_by([lambda x: x])
        (True, False)
        >>> read_by([np.zeros(3)]) is None
        True
    """
    reader = _Reader()
    try:
        content = tuple(reader.described(x, _DEEPEST) for x in things)
    except _Unknown:
        return None
    return Reading(content, tuple(reader.functions), reader.is_visible)


def is_plain(x: Any) -> bool:
    """Tell whether a value reads nothing: a number, a string, a library's own function or class.

    A module is not plain: what is read of it may be anything.

    Example:
        >>> is_plain(3), is_plain(np.float32), is_plain(np.zeros(3))
        (True, True, False)
    """
    if isinstance(x, ModuleType):
        return False
    return isinstance(x, (*_EXACT, *_NUMBERS)) or _belongs_to_library(x)


class _Unknown(Exception):
    """Something that is read may change without being another one."""


class _Reader:
    """Describes what is read, once each.

    Attributes:
      functions: the identities of the functions that were met.
      is_visible: see `Reading`.
    """

    def __init__(self) -> None:
        self.functions: list[int] = []
        self.is_visible = False
        self._numbers: dict[int, int] = {}

    def described(self, x: Any, depth: int) -> Any:
        """Return something that is equal while `x` is what it was.

        Args:
          x: what is read.
          depth: how deep to look.

        Raises:
          _Unknown: if nothing tells.
        """
        if isinstance(x, _EXACT):
            return type(x), x
        if isinstance(x, _NUMBERS):
            return type(x), np.asarray(x).tobytes()  # 0.0 and -0.0 are equal as numbers
        if isinstance(x, ModuleType):
            raise _Unknown  # what is read of it may be anything
        if _belongs_to_library(x):
            return x
        known = self._numbers.get(id(x))
        if known is not None:
            return "met", known
        if depth == 0 or len(self._numbers) == _MOST:
            raise _Unknown
        self._numbers[id(x)] = len(self._numbers)
        if isinstance(x, FunctionType):
            self.functions.append(id(x))
            return self._function(x, depth - 1)
        if isinstance(x, type):
            return self._class(x, depth - 1)
        if type(x) is functools.partial:
            return functools.partial, self._all((x.func, x.args, x.keywords), depth)
        return self._container(x, depth)

    def _all(self, items: Iterable[Any], depth: int) -> tuple[Any, ...]:
        return tuple(self.described(x, depth - 1) for x in items)

    def _container(self, x: Any, depth: int) -> Any:
        kind = type(x)
        if kind in (tuple, list, set, frozenset) and len(x) <= _LONGEST:
            return kind, self._all(x, depth)
        is_mapping = kind is dict or (isinstance(x, Mapping) and _top(kind.__module__) == _OWN)
        if is_mapping and len(x) <= _LONGEST:
            return kind, self._all(x, depth), self._all(x.values(), depth)
        if kind in (staticmethod, classmethod):
            return kind, self.described(x.__func__, depth)
        if kind is property:
            return kind, self._all((x.fget, x.fset, x.fdel), depth)
        if _is_mark(x) or kind is object or kind.__module__ == "typing":  # such as a TypeVar
            return Same(x)
        if _top(kind.__module__) == _OWN:
            if getattr(kind, "reads_nothing", False):
                return x
            if dataclasses.is_dataclass(x) and kind.__dataclass_params__.frozen:
                fields = dataclasses.fields(x)
                return kind, self._all((getattr(x, f.name) for f in fields), depth)
        raise _Unknown

    def _function(self, f: FunctionType, depth: int) -> Any:
        """Describe a function by its code and what it reads."""
        code, whose = f.__code__, f.__globals__
        is_of_library = _top(whose.get("__name__")) in _LIBRARIES
        found = _Names((), {}, False, False) if is_of_library else names_in(code)
        if found is None:
            raise _Unknown
        read = functools.partial(self._read_of, found=found, depth=depth)
        cells = []
        for name, cell in zip(code.co_freevars, f.__closure__ or (), strict=True):
            try:
                cells.append((name, read(name, cell.cell_contents)))
            except ValueError:  # nothing is in it yet
                cells.append((name, None))
        parts = [f.__defaults__, f.__kwdefaults__]
        parts.append({name: x for name, x in f.__dict__.items() if name != "__signature__"} or ())
        described = code, tuple(cells), *(self.described(x, depth) for x in parts)
        if is_of_library:
            return described
        self.is_visible = self.is_visible or found.is_visible
        outside = {name: whose[name] for name in found.names if name in whose}
        if found.has_random and np in outside.values():
            raise _Unknown  # numbers of NumPy's own stream
        return *described, Same(whose), tuple((name, read(name, x)) for name, x in outside.items())

    def _read_of(self, name: str, value: Any, found: "_Names", depth: int) -> Any:
        """Describe a variable by what code reads of it: of a library's module the attributes."""
        if not isinstance(value, ModuleType) or not _belongs_to_library(value):
            return self.described(value, depth)
        return value, *(self._attribute(value, path, depth) for path in found.paths.get(name, ()))

    def _attribute(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        for name in path:
            if not isinstance(value, ModuleType):  # of what a class holds nothing is read here
                break
            is_own = _top(value.__name__) == _OWN  # and may be imported when it is asked for
            value = getattr(value, name, None) if is_own else vars(value).get(name)
        try:
            return self.described(value, depth)
        except _Unknown:
            if callable(value) or _top(type(value).__module__) not in ("jax", "jaxlib", _OWN):
                raise
            return Same(value)  # such as `jax.config`: what of it decides is compared elsewhere

    def _class(self, cls: type, depth: int) -> Any:
        """Describe a class by what it and its bases hold."""
        meta = type(cls)
        if meta not in (type, abc.ABCMeta) and _top(meta.__module__) not in _LIBRARIES:
            raise _Unknown
        # One that a transformation made of another may be made anew at each call.
        parts: list[Any] = [cls.__name__ if "_lifted_methods" in vars(cls) else Same(cls)]
        for base in cls.__mro__:
            if _belongs_to_library(base) or base is abc.ABC or base.__module__ == "typing":
                parts.append(base)
                continue
            for name, value in tuple(vars(base).items()):
                if name in _OF_ALL_CLASSES or isinstance(value, _DESCRIPTORS):
                    continue
                if _top(type(value).__module__) == _OWN and name == "_plan":
                    continue  # of a Linen module: made from its fields
                parts.append((name, self.described(value, depth)))
        return tuple(parts)


def _belongs_to_library(x: Any) -> bool:
    """Tell whether something is of a library, and reads nothing that changes."""
    if isinstance(x, FunctionType):
        # What a library made of a function of a user reads what that reads.
        return (
            x.__closure__ is None
            and _top(x.__module__) in _LIBRARIES
            and _top(x.__globals__.get("__name__")) in _LIBRARIES
        )
    if isinstance(x, ModuleType):
        return _top(x.__name__) in _LIBRARIES
    if isinstance(x, type):
        return _top(x.__module__) in _LIBRARIES
    if isinstance(x, BuiltinFunctionType):
        return isinstance(x.__self__, ModuleType | None)
    if not callable(x) or _top(type(x).__module__) not in ("jax", "jaxlib", "numpy"):
        return False  # and is not asked for more: an attribute of a user's object may run code
    wrapped = getattr(x, "__wrapped__", None)  # by jit, custom_jvp and the like
    if wrapped is not None and not _belongs_to_library(wrapped):
        return False
    # Of JAX and NumPy, but made of what a user has: `np.vectorize`, `np.poly1d`.
    return hasattr(x, "__name__") and not hasattr(x, "pyfunc")


def _is_mark(x: Any) -> bool:
    """Tell whether something is an object without content, such as `broadcast`."""
    if _top(type(x).__module__) not in (_OWN, "dataclasses") or getattr(x, "__dict__", None) != {}:
        return False
    return not any(vars(base).get("__slots__") for base in type(x).__mro__)


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]


class _Names(NamedTuple):
    """What code says of itself and of the functions inside it.

    Attributes:
      names: globals that are read.
      paths: the attributes that are read of a global, or of a variable of a function around, and
        attributes of those; an empty path if it is read itself.
      has_random: whether the name `random` occurs.
      is_visible: whether something is done that can be seen each time.
    """

    names: tuple[str, ...]
    paths: Mapping[str, frozenset[tuple[str, ...]]]
    has_random: bool
    is_visible: bool


def codes(code: CodeType) -> Iterator[CodeType]:
    """List a piece of code, and those of the functions and comprehensions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


@functools.lru_cache(maxsize=1024)
def names_in(code: CodeType) -> _Names | None:
    """Return what code reads and does, or None if it hides some of it."""
    names: set[str] = set()
    paths: dict[str, set[tuple[str, ...]]] = {}
    is_visible = False
    every = tuple(codes(code))
    for one in every:
        for name, *path in _loads(one):
            paths.setdefault(name, set()).add(tuple(path))
        for step in dis.get_instructions(one):
            if step.opname in _LOADS:
                names.add(step.argval)
            elif step.opname == "IMPORT_NAME":
                return None
            elif step.opname in _STORES or (
                step.opname in _CELL_STORES and step.argval in code.co_freevars
            ):
                is_visible = True
    if names & _HIDDEN:
        return None
    return _Names(
        tuple(sorted(names)),
        {name: frozenset(found) for name, found in paths.items()},
        any("random" in one.co_names for one in every),
        bool(is_visible or names & _VISIBLE),
    )


def _loads(code: CodeType) -> Iterator[tuple[str, ...]]:
    """Yield expressions such as ``a`` and ``a.b.c``, of globals and variables of functions around.

    Example:
        >>> list(_loads((lambda x: jax.nn.relu(x) + _MOST).__code__))
        [('jax', 'nn', 'relu'), ('_MOST',)]
    """
    path: tuple[str, ...] = ()
    for step in dis.get_instructions(code):
        if step.opname in _ATTRIBUTES and path:
            path = *path, step.argval
        elif step.opname not in ("CACHE", "EXTENDED_ARG", "NOP", "PUSH_NULL"):
            if path:
                yield path
            path = (step.argval,) if step.opname in _LOADS | _CELL_LOADS else ()
