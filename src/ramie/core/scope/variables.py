"""Variable collections: nested dictionaries, and the handle on one variable in them."""

from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

import jax
import numpy as np

from ramie.core import meta
from ramie.foundation.configurations import config
from ramie.trees.frozen import FrozenDict, freeze, unfreeze

__all__ = [
    "Collection",
    "Holder",
    "MutableCollection",
    "Variable",
    "as_returned",
    "copied",
    "plain",
    "unbox",
]

T = TypeVar("T")

Collection = Mapping[str, Any]
MutableCollection = dict[str, Any]

# Types whose values hold no metadata box: most parameters are bare arrays, and asking `isinstance`
# of a `jax.Array` for each of them costs more than the rest of the look-up.
_BARE_TYPES: set[type] = {int, float, complex, bool, str, type(None)}


def unbox(value: Any) -> Any:
    """Take a value out of its metadata box, at every leaf of a pytree."""
    kind = type(value)
    if kind in _BARE_TYPES:
        return value
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        _BARE_TYPES.add(kind)
        return value
    return meta.unbox(value)


def plain(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the dictionary inside a FrozenDict, for reading without a wrapper at each level."""
    return mapping._dict if isinstance(mapping, FrozenDict) else mapping


def copied(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the nested dictionaries of a mapping and share the leaves.

    A dictionary keeps its order; a FrozenDict comes out sorted, as `unfreeze` gives it.
    """
    if isinstance(mapping, FrozenDict):
        return unfreeze(mapping)
    return {k: copied(v) if isinstance(v, Mapping) else v for k, v in mapping.items()}


def as_returned(collections: dict[str, Any]) -> Any:
    """Give collections the type that the flag `flax_return_frozendict` asks for."""
    return freeze(collections) if config.flax_return_frozendict else collections


class Holder(Protocol):
    """What a handle asks of the scope that its variable lives in."""

    @property
    def path_text(self) -> str:
        """The path as text."""

    def is_mutable_collection(self, col: str) -> bool:
        """Tell whether a collection may be written."""

    def get_variable(self, col: str, name: str, default: Any = None) -> Any:
        """Return the value of a variable, boxed if it was stored boxed."""

    def put_variable(self, col: str, name: str, value: Any) -> None:
        """Set a variable."""


class Variable(Generic[T]):
    """A handle on one variable: reads and writes go to the scope.

    Args:
      scope: where the variable lives.
      collection: its collection.
      name: its name.
      unbox: whether `value` is taken out of, and put back into, its metadata box.
    """

    __slots__ = ("__weakref__", "collection", "name", "scope", "unbox")

    def __init__(self, scope: Holder, collection: str, name: str, unbox: bool = True) -> None:
        self.scope = scope
        self.collection = collection
        self.name = name
        self.unbox = unbox

    @property
    def value(self) -> T:
        """The present value. Assigning needs a mutable collection."""
        value = self.scope.get_variable(self.collection, self.name)
        return unbox(value) if self.unbox else value

    @value.setter
    def value(self, value: T) -> None:
        if self.unbox:
            held = self.scope.get_variable(self.collection, self.name)
            if type(held) not in _BARE_TYPES and held is not None:
                value = meta.replace_boxed(held, value) if meta_holds(held) else value
        self.scope.put_variable(self.collection, self.name, value)

    def is_mutable(self) -> bool:
        """Tell whether the collection may be written."""
        return self.scope.is_mutable_collection(self.collection)

    def __repr__(self) -> str:
        return f"Variable({self.collection}{self.scope.path_text}/{self.name})"


def meta_holds(value: Any) -> bool:
    """Tell whether a pytree has a metadata box at any leaf."""
    leaves = jax.tree_util.tree_leaves(value, is_leaf=meta.is_axis_metadata)
    return any(meta.is_axis_metadata(leaf) for leaf in leaves)
