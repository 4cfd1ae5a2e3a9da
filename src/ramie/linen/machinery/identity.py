"""When two modules are equal, and what is kept of a module when it is pickled."""

import importlib
import sys
from types import FunctionType
from typing import Any, NamedTuple

from ramie.linen.machinery.adopt import template_copy
from ramie.linen.machinery.base import ModuleBase

__all__ = ["NamedFunction", "are_equal", "found_functions", "hash_of", "picklable_state"]

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
    """Return the attributes that outlive pickling: those of an unbound copy, and the name."""
    kept = own = module.__dict__
    if own.get("scope") is not None:
        kept = template_copy(module).__dict__ | {"name": own["name"]}
    return {name: _by_name(value) for name, value in kept.items() if name not in _NOT_KEPT}


def found_functions(state: dict[str, Any]) -> dict[str, Any]:
    """Return what `picklable_state` gave with the functions themselves in their places."""
    return {n: v.find() if isinstance(v, NamedFunction) else v for n, v in state.items()}
