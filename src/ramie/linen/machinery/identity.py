"""When two modules are equal, and what is kept of a module when it is copied or pickled."""

import copy
import importlib
import sys
from types import FunctionType
from typing import Any, NamedTuple, TypeVar

from ramie.core.scope.entry import duplicate
from ramie.linen.machinery.adopt import rebind, template_copy
from ramie.linen.machinery.base import ModuleBase
from ramie.linen.machinery.context import context

__all__ = [
    "NamedFunction",
    "are_equal",
    "deep_copy",
    "found_functions",
    "hash_of",
    "picklable_state",
    "shallow_copy",
]

M = TypeVar("M", bound=ModuleBase)

# Tests of other projects match this message word for word.
_HOLDS_VARIABLES = "Can't call __hash__ on modules that hold variables."

_NOT_KEPT = ("_parent_ref", "_state", "scope")


def are_equal(module: ModuleBase, other: ModuleBase) -> bool:
    """Tell whether two modules of one class have the same place, name and compared fields.

    Fields are compared as the items of tuples: what is the very same object is equal, NaN too.
    """
    mine, theirs = module.__dict__, other.__dict__
    if mine.get("scope") is not theirs.get("scope") or mine["name"] != theirs["name"]:
        return False
    compared = module._plan.compared
    return tuple([mine.get(n) for n in compared]) == tuple([theirs.get(n) for n in compared])


def hash_of(module: ModuleBase) -> int:
    """Return a hash that agrees with `are_equal`.

    Raises:
      TypeError: for a bound module, and if a field holds what cannot be hashed.
    """
    own = module.__dict__
    if own.get("scope") is not None:
        raise TypeError(_HOLDS_VARIABLES)
    try:
        return hash((type(module), own["name"], *[own.get(n) for n in module._plan.compared]))
    except TypeError as error:
        raise TypeError(
            f"Module {type(module).__name__} cannot be hashed: {error}. Give its fields "
            "hashable values, such as tuples instead of lists."
        ) from error


class NamedFunction(NamedTuple):
    """Stands in a pickle for a function that is found under a name.

    Compiled functions of JAX, which most activation functions are, cannot be pickled themselves.
    """

    module: str
    name: str

    def find(self) -> Any:
        """Return the function."""
        return getattr(importlib.import_module(self.module), self.name)


def _by_name(value: Any) -> Any:
    """Return where JAX has a compiled function, or the value itself if it is none."""
    name = getattr(value, "__name__", "")
    if isinstance(value, type | FunctionType) or not callable(value) or not name:
        return value
    for module in ("jax.nn", "jax.numpy", "jax.lax"):
        if getattr(sys.modules.get(module), name, None) is value:
            return NamedFunction(module, name)
    return value


def picklable_state(module: ModuleBase) -> dict[str, Any]:
    """Return the attributes of an unbound module that outlive pickling.

    Raises:
      TypeError: for a bound module, whose variables would be lost.
    """
    own = module.__dict__
    if own.get("scope") is not None:
        raise TypeError(
            f"Cannot pickle {type(module).__name__} while it is bound: its variables are not part "
            "of it. Write `module, variables = bound.unbind()` and pickle these two."
        )
    return {name: _by_name(value) for name, value in own.items() if name not in _NOT_KEPT}


def found_functions(state: dict[str, Any]) -> dict[str, Any]:
    """Return what `picklable_state` gave with the functions themselves in their places."""
    return {n: v.find() if isinstance(v, NamedFunction) else v for n, v in state.items()}


# --- copies ---------------------------------------------------------------------------------------


def _unbound(module: M) -> M:
    """Return a copy without a place, or the module itself if it has none."""
    own = module.__dict__
    if own.get("scope") is None:
        return module
    copied = template_copy(module)
    copied.__dict__["name"] = own["name"]
    return copied


def _holds_variables(module: ModuleBase) -> bool:
    """Tell whether a module was bound by hand: no method of a module in its tree is running.

    In `setup` and compact methods a copy is a new submodule, which gets variables of its own.
    """
    scope = module.__dict__.get("scope")
    running = context.stack[-1]
    inside = None if running is None else running.__dict__.get("scope")
    return scope is not None and (inside is None or inside.root is not scope.root)


def _filled(module: M, state: Any) -> M:
    """Return a new module of the same class with what `__getstate__` gave."""
    made: Any = object.__new__(type(module))
    made.__setstate__(state)
    return made


def shallow_copy(module: M) -> M:
    """Copy a module; a bound one with copies of its variables, whose arrays are shared."""
    copied = _unbound(module)
    if copied is module:
        copied = _filled(module, module.__getstate__())
    return (
        rebind(copied, duplicate(module._bound("variables", "copy")))
        if _holds_variables(module)
        else copied
    )


def deep_copy(module: M, memo: dict[int, Any]) -> M:
    """Copy a module and all in its fields; a bound one with copies of its variables.

    Args:
      module: the module.
      memo: of `copy.deepcopy`.
    """
    copied = _filled(module, copy.deepcopy(_unbound(module).__getstate__(), memo))
    if _holds_variables(module):
        copied = rebind(copied, duplicate(module._bound("variables", "copy"), memo))
    memo[id(module)] = copied
    return copied
