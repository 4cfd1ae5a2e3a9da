"""Whether functions of JAX are those that it shipped: other libraries put their own in their place.

Quantisation and adapters replace `jax.lax.dot_general`, `jax.numpy.einsum` and the like while they
run a model. A program that was compiled before has the functions of its day, so whoever keeps one
asks here first, and does without it while a function that it rests on is not JAX's own.
"""

import dis
import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["Rests", "current", "is_shipped", "nothing_is_replaced", "rests_of"]

F = TypeVar("F")

_OWN = __name__.partition(".")[0]
_MODULES: tuple[ModuleType, ...] = (jax, lax, jnp, jax.nn, jax.random)
_AT_IMPORT: dict[ModuleType, dict[str, Any]] = {m: dict(vars(m)) for m in _MODULES}
# Of the standard library are aliases of types, and context managers.
_HOMES = frozenset(
    ("jax", "jaxlib", "numpy", "builtins", "functools", "contextlib", "types", "typing")
)
_UNKNOWN = object()  # equals nothing that can be found in a module


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


def _matters(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


class Rests:
    """Names in modules of JAX, and whether what they stand for is as shipped.

    Args:
      names: for each module the names that are used of it; those that are no functions are left
        out.

    Example:
        >>> rests = Rests({lax: ["dot_general", "Precision"]})
        >>> rests.are_shipped(), rests.names()
        (True, ['jax.lax.dot_general'])
    """

    __slots__ = ("_groups",)

    def __init__(self, names: Mapping[ModuleType, list[str]]) -> None:
        self._groups: list[tuple[Callable[[Any], Any], dict[str, Any], Any, tuple[str, ...]]] = []
        for module, wanted in names.items():
            before = _AT_IMPORT[module]
            found = tuple(n for n in sorted(wanted) if n in before and _matters(before[n]))
            if found:
                # Replaced before this library was imported: found out when it is put back.
                own = [before[n] if is_shipped(before[n]) else _UNKNOWN for n in found]
                self._keep(vars(module), found, own)

    def _keep(self, held: dict[str, Any], found: tuple[str, ...], own: list[Any]) -> None:
        # One look at many names at once: this runs at every call of a layer.
        get = operator.itemgetter(*found)
        self._groups.append((get, held, tuple(own) if len(found) > 1 else own[0], found))

    def names(self) -> list[str]:
        """Return the dotted names of what is used."""
        return [
            f"{held['__name__']}.{name}" for _, held, _, found in self._groups for name in found
        ]

    def are_shipped(self) -> bool:
        """Tell whether all of it is what JAX shipped."""
        try:
            for get, held, shipped, _ in self._groups:
                # Tuples compare by identity first; what replaced a function is no equal of it.
                if get(held) != shipped:
                    return self._are_back()
        except KeyError:  # somebody took a name away
            return False
        return True

    def _are_back(self) -> bool:
        """Learn what JAX shipped from a module that was given its own functions back."""
        if not any(_UNKNOWN in _several(shipped) for _, _, shipped, _ in self._groups):
            return False
        learnt = [
            (held, found, [held[n] if is_shipped(held[n]) else _UNKNOWN for n in found])
            for _, held, _, found in self._groups
        ]
        if any(_UNKNOWN in own for _, _, own in learnt):
            return False
        groups, self._groups = self._groups, []
        for (held, found, own), (_, _, shipped, _) in zip(learnt, groups, strict=True):
            pairs = zip(own, _several(shipped), strict=True)
            self._keep(held, found, [new if old is _UNKNOWN else old for new, old in pairs])
        return self.are_shipped()


def _several(shipped: Any) -> tuple[Any, ...]:
    return shipped if isinstance(shipped, tuple) else (shipped,)


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

_ALL = Rests({module: list(_AT_IMPORT[module]) for module in _MODULES if module is not jax})


def nothing_is_replaced() -> bool:
    """Tell whether all public functions of JAX are its own: for what keeps functions of users."""
    return _ALL.are_shipped()


_PLACES: dict[int, list[tuple[ModuleType, str]]] = {}
for _module, _held in _AT_IMPORT.items():
    for _name, _value in _held.items():
        if _module is not jax and _matters(_value):
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
