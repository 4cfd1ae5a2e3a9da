"""Whether functions of JAX are those that it shipped: other libraries put their own in their place.

Quantisation and adapters replace `jax.lax.dot_general`, `jax.numpy.einsum` and the like while they
run a model. A program that was compiled before has the functions of its day, so whoever keeps one
asks here first, and does without it while a function that it rests on is not JAX's own.
"""

import dis
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive

__all__ = ["Rests", "current", "is_shipped", "nothing_is_replaced", "rests_of"]

F = TypeVar("F")

_OWN = __name__.partition(".")[0]
_MODULES: tuple[ModuleType, ...] = (jax, lax, jnp, jax.nn, jax.random)
# Of the standard library are aliases of types, and context managers.
_HOMES = frozenset(
    ("jax", "jaxlib", "numpy", "builtins", "functools", "contextlib", "types", "typing")
)
_UNKNOWN = object()  # equals nothing that can be found in a module
_BIND: Any = vars(Primitive)["bind"]
_AT_IMPORT: dict[Any, dict[str, Any]] = {
    **{module: dict(vars(module)) for module in _MODULES},
    Primitive: {"bind": _BIND},
}
_OWN_CODE = lax.dot_general.__code__  # of a file of JAX, whatever it does
_CODES: dict[int, CodeType] = {
    id(value): value.__code__
    for held in _AT_IMPORT.values()
    for value in held.values()
    if isinstance(value, FunctionType)
}


def _home(value: Any) -> str:
    """Return the name of the library in which a function was written.

    Its code decides, because `functools.wraps` gives a stranger the names of what it replaces.
    """
    while isinstance(value, functools.partial):
        value = value.func
    if not isinstance(value, FunctionType):  # compiled functions and custom derivatives hold one
        value = getattr(value, "__wrapped__", value)
    if isinstance(value, FunctionType):
        home = value.__globals__.get("__name__", "")
    else:
        home = type(value).__module__
    return str(home).partition(".")[0]


def is_shipped(value: Any) -> bool:
    """Tell whether what stands in a module of JAX under some name can be its own.

    Example:
        >>> is_shipped(lax.dot_general), is_shipped(lambda *_: None)
        (True, False)
    """
    if isinstance(value, ModuleType | type) or not callable(value):
        return True
    return _home(value) in _HOMES


def _is_own_code(code: CodeType) -> bool:
    return not {"jax", "numpy"}.isdisjoint(Path(code.co_filename).parts)


def _code_at_import(function: FunctionType) -> Any:
    """Return the code that a function had when this was imported, if that was JAX's."""
    code = _CODES.setdefault(id(function), function.__code__)
    return code if _is_own_code(code) else _UNKNOWN


def _matters(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


def _comparison(wanted: Mapping[Any, tuple[str, ...]]) -> tuple[Callable[[], bool], bool]:
    """Write a function that tells whether names stand for what they stood for at the import.

    It runs at every call of a layer, so it is one expression, without loops.

    Args:
      wanted: names by module or class.

    Returns:
      The function, and whether all of it is known: what was replaced before is not.
    """
    values: dict[str, Any] = {}
    terms: list[str] = []
    for number, (module, names) in enumerate(wanted.items()):
        values[f"held{number}"] = vars(module)
        for place, name in enumerate(names):
            value = _AT_IMPORT[module][name]
            function, code = f"function{number}_{place}", f"code{number}_{place}"
            values[function] = value if is_shipped(value) else _UNKNOWN
            terms.append(f"held{number}[{name!r}] is {function}")
            if isinstance(value, FunctionType):
                values[code] = _code_at_import(value)
                terms.append(f"{function}.__code__ is {code}")
    parameters = ", ".join(f"{name}={name}" for name in values)
    test = " and ".join(terms)
    exec(f"def are_same({parameters}):\n    return {test}\n", values)
    compare: Callable[[], bool] = values["are_same"]
    return compare, all(value is not _UNKNOWN for value in values.values())


class Rests:
    """Names in modules of JAX, and whether what they stand for is as shipped.

    Libraries put functions of their own there, give JAX's functions other code, or bind primitives
    by a method of their own; all are noticed.

    Args:
      names: for each module the names that are used of it; those that are no functions are left
        out.

    Example:
        >>> rests = Rests({lax: ["dot_general", "Precision"]})
        >>> rests.are_shipped(), rests.names()
        (True, ['jax.lax.dot_general'])
    """

    __slots__ = ("_are_same", "_is_known", "_wanted")

    def __init__(self, names: Mapping[ModuleType, list[str]]) -> None:
        self._wanted: dict[Any, tuple[str, ...]] = {Primitive: ("bind",)}
        for module, wanted in names.items():
            before = _AT_IMPORT[module]
            self._wanted[module] = tuple(
                name for name in sorted(wanted) if name in before and _matters(before[name])
            )
        self._are_same, self._is_known = _comparison(self._wanted)

    def names(self) -> list[str]:
        """Return the dotted names of what is used."""
        return [
            f"{module.__name__}.{name}"
            for module, names in self._wanted.items()
            for name in names
            if module is not Primitive
        ]

    def are_shipped(self) -> bool:
        """Tell whether all of it is what JAX shipped."""
        try:
            return self._are_same() or (not self._is_known and self._are_back())
        except KeyError:  # somebody took a name away
            return False

    def _are_back(self) -> bool:
        """Learn what JAX shipped from modules that were given their own functions back."""
        for module, names in self._wanted.items():
            for name in names:
                before, now = _AT_IMPORT[module][name], vars(module)[name]
                known = _CODES.get(id(before))
                if is_shipped(before) and (known is None or _is_own_code(known)):
                    continue
                if not (is_shipped(now) and _is_own_code(getattr(now, "__code__", _OWN_CODE))):
                    return False
                _AT_IMPORT[module][name] = now
                if isinstance(now, FunctionType):
                    _CODES[id(now)] = now.__code__
        self._are_same, self._is_known = _comparison(self._wanted)
        return self._are_same()


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and those of the functions inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _variables(function: FunctionType) -> dict[str, Any]:
    """Return what names stand for in a function: globals, and variables of functions around it."""
    found = dict(function.__globals__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # nothing is in it yet
            found.pop(name, None)
    return found


def _reads(code: CodeType, variables: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    """Yield modules and names of expressions such as ``lax.add``, ``jax.nn.silu``, ``conv.pad``."""
    module: Any = None
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_DEREF"):
            module = variables.get(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(module, ModuleType):
            yield module, step.argval
            module = vars(module).get(step.argval)
        elif step.opname not in ("CACHE", "EXTENDED_ARG", "NOP", "PUSH_NULL"):
            module = None


def _inside(value: Any) -> Any:
    """Return the function inside of a partial, a bound method, a cache, a compiled function."""
    while True:
        inner = value.func if isinstance(value, functools.partial) else None
        inner = getattr(value, "__wrapped__", None) if inner is None else inner
        inner = getattr(value, "__func__", None) if inner is None else inner
        if inner is None:
            return value
        value = inner


def _walk(function: Callable[..., Any]) -> Iterator[tuple[ModuleType, str]]:
    """Yield what a function reads in modules of JAX, and what functions of ours read that it uses.

    Used are functions that it names, that it has as defaults, or that it was made around.
    """
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        given = waiting.pop()
        if isinstance(given, functools.partial):
            waiting += [*given.args, *given.keywords.values()]
        found = _inside(given)
        if (
            not isinstance(found, FunctionType)
            or id(found) in seen
            # The one that is asked about may be a test's; of the others only ours are read.
            or (seen and found.__globals__.get("__name__", "").partition(".")[0] != _OWN)
        ):
            continue
        seen.add(id(found))
        variables = _variables(found)
        waiting += [*(found.__defaults__ or ()), *(found.__kwdefaults__ or {}).values()]
        for code in _codes(found.__code__):
            waiting += [variables.get(name) for name in (*code.co_names, *code.co_freevars)]
            for module, name in _reads(code, variables):
                if module in _AT_IMPORT:
                    yield module, name
                else:
                    waiting.append(vars(module).get(name))


def rests_of(function: Callable[..., Any]) -> Rests:
    """Return what a function, and those of ours that it calls, may use of JAX.

    Names are read from the code, so there may be more than are used.

    Example:
        >>> from ramie.ops.linear import dense
        >>> "jax.lax.dot_general" in rests_of(dense).names()
        True
    """
    wanted: dict[ModuleType, list[str]] = {module: [] for module in _MODULES}
    for module, name in set(_walk(function)):
        wanted[module].append(name)
    return Rests(wanted)


# --- all of it ------------------------------------------------------------------------------------


@functools.cache
def _all() -> Rests:
    return Rests({module: list(_AT_IMPORT[module]) for module in _MODULES[1:]})


def nothing_is_replaced() -> bool:
    """Tell whether all public functions of JAX are its own: for what keeps functions of users."""
    return _all().are_shipped()


_PLACES: dict[int, list[tuple[ModuleType, str]]] = {}
for _module in _MODULES[1:]:
    for _name, _value in _AT_IMPORT[_module].items():
        if _matters(_value):
            _PLACES.setdefault(id(_value), []).append((_module, _name))


def current(function: F) -> F:
    """Return what JAX has now in the place of one of its functions; any other is returned itself.

    Defaults of parameters are looked up once, when a function or class is made. This looks again.

    Args:
      function: a function, or whatever stands in its place.

    Example:
        >>> current(lax.dot_general) is lax.dot_general
        True
    """
    for module, name in _PLACES.get(id(function), ()):
        now: F = getattr(module, name, function)
        if now is not function:
            return now
    return function
