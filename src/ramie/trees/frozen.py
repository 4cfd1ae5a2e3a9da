"""FrozenDict: a nested mapping that cannot be written to, hashable and a JAX pytree."""

import copy as _copylib
from collections.abc import Hashable, Iterator, KeysView, Mapping, ValuesView
from types import MappingProxyType
from typing import Any, TypeVar, overload

import jax

from ramie.serialization import state_dict

__all__ = [
    "FrozenDict",
    "FrozenKeysView",
    "FrozenValuesView",
    "copy",
    "freeze",
    "pop",
    "pretty_repr",
    "unfreeze",
]

K = TypeVar("K")
V = TypeVar("V")

_EMPTY: Mapping[Any, Any] = MappingProxyType({})


class FrozenKeysView(KeysView[K]):
    """The keys of a FrozenDict: a set-like view with a readable repr."""

    def __repr__(self) -> str:
        return f"frozen_dict_keys({list(self)})"


class FrozenValuesView(ValuesView[V]):
    """The values of a FrozenDict, inner dictionaries seen as FrozenDicts."""

    def __repr__(self) -> str:
        return f"frozen_dict_values({list(self)})"


@jax.tree_util.register_pytree_with_keys_class
class FrozenDict(Mapping[K, V]):
    """An immutable dictionary whose inner dictionaries are immutable too.

    The constructor takes what `dict` takes and copies every level, so later writes to the source
    do not reach it. Reading an inner dictionary gives a FrozenDict that shares the storage.
    Keys keep their order of insertion; as a pytree the children are sorted by key, as for `dict`.
    It compares equal to any mapping with equal items, and hashes if all its values do.

    Args:
      *args: one mapping, or one iterable of pairs.
      __unsafe_skip_copy__: adopt the given `dict` instead of copying it. Only for a dictionary
        that nobody writes to and that holds no FrozenDict.
      **kwargs: further items.

    Example:
      >>> from ramie.trees.frozen import FrozenDict
      >>> variables = FrozenDict({"params": {"bias": 0.0}})
      >>> variables.copy({"step": 1})["params"]["bias"]
      0.0
    """

    __slots__ = ("_dict", "_hash")

    _dict: dict[K, V]
    _hash: int | None

    def __init__(self, *args: Any, __unsafe_skip_copy__: bool = False, **kwargs: Any) -> None:
        if __unsafe_skip_copy__ and len(args) == 1 and type(args[0]) is dict and not kwargs:
            self._dict = args[0]
        else:
            items = dict(*args, **kwargs)
            self._dict = items if __unsafe_skip_copy__ else _plain_copy(items)
        self._hash = None

    def __getitem__(self, key: K) -> V:
        value = self._dict[key]
        return _adopt(value) if isinstance(value, dict) else value

    def __setitem__(self, key: K, value: V) -> None:
        raise ValueError(
            f"FrozenDict is immutable. The key {key!r} cannot be set: use "
            f"`.copy({{{key!r}: value}})` for a changed copy, or `.unfreeze()` for a plain dict."
        )

    def __delitem__(self, key: K) -> None:
        raise ValueError(
            f"FrozenDict is immutable. The key {key!r} cannot be deleted: use `.pop({key!r})`, "
            "which returns a copy without the key together with its value."
        )

    def __contains__(self, key: object) -> bool:
        return key in self._dict

    def __iter__(self) -> Iterator[K]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FrozenDict):
            return self._dict == other._dict
        if isinstance(other, Mapping):
            return self._dict == dict(other.items())
        return NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self.items()))
        return self._hash

    def __repr__(self) -> str:
        return self.pretty_repr()

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (self.unfreeze(),)

    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of `key`, or `default` where the key is absent."""
        return self[key] if key in self._dict else default

    def keys(self) -> FrozenKeysView[K]:
        """Return a set-like view of the keys."""
        return FrozenKeysView(self)

    def values(self) -> FrozenValuesView[V]:
        """Return a view of the values."""
        return FrozenValuesView(self)

    def items(self) -> Iterator[tuple[K, V]]:  # type: ignore[override]
        """Iterate over pairs of key and value; an iterator, not a view."""
        for key in self._dict:
            yield key, self[key]

    def copy(self, add_or_replace: Mapping[K, V] = _EMPTY) -> "FrozenDict[K, V]":
        """Return a new FrozenDict with the items of `add_or_replace` put on top of this one's."""
        return type(self)({**self, **_plain_copy(dict(add_or_replace))})

    def pop(self, key: K) -> tuple["FrozenDict[K, V]", V]:
        """Split off one item.

        Args:
          key: the item to take out.

        Returns:
          A copy without the key, and the value it had.

        Raises:
          KeyError: if the key is absent, as for any mapping.
        """
        value = self[key]
        rest = {name: item for name, item in self._dict.items() if name != key}
        return type(self)(rest), value

    def unfreeze(self) -> dict[K, V]:
        """Return a plain dict of plain dicts that may be written to.

        Lists and other containers are copied, leaves are shared. Keys come back sorted where
        they can be compared, as from any JAX tree function.
        """
        return _thaw(self._dict)

    def pretty_repr(self, num_spaces: int = 4) -> str:
        """Return an indented listing, one item a line.

        Args:
          num_spaces: the indentation of each level.
        """
        return f"FrozenDict({_listing(self._dict, num_spaces)})"

    def tree_flatten_with_keys(self) -> tuple[tuple[Any, ...], Hashable]:
        """Return ((key entry, child), ...) sorted by key, and the sorted keys: pytree protocol."""
        try:
            keys = tuple(sorted(self._dict))  # type: ignore[type-var]
        except TypeError as error:
            kinds = ", ".join(sorted({type(key).__name__ for key in self._dict}))
            raise TypeError(
                "A FrozenDict is a pytree only if its keys can be sorted, but it has keys of the "
                f"types {kinds}. Use keys of one type."
            ) from error
        return tuple((jax.tree_util.DictKey(key), self._dict[key]) for key in keys), keys

    @classmethod
    def tree_unflatten(cls, keys: Any, values: Any) -> "FrozenDict[Any, Any]":
        """Rebuild from sorted keys and children: pytree protocol."""
        return _adopt(dict(zip(keys, values, strict=True)))


def _adopt(plain: dict[Any, Any]) -> Any:
    """Wrap a dictionary without copying it."""
    return FrozenDict(plain, __unsafe_skip_copy__=True)


def _plain_copy(items: Mapping[Any, Any]) -> dict[Any, Any]:
    """Copy nested dictionaries, frozen or not, into plain ones; other values are shared."""
    return {
        key: _plain_copy(value) if isinstance(value, (dict, FrozenDict)) else value
        for key, value in items.items()
    }


def _identity(leaf: Any) -> Any:
    return leaf


def _thaw(value: Any) -> Any:
    """Copy every container below `value`, with dictionaries plain and sorted by key."""
    if isinstance(value, FrozenDict):
        value = value._dict
    if not isinstance(value, dict):
        return jax.tree_util.tree_map(_identity, value)
    try:
        keys = sorted(value)
    except TypeError:
        keys = list(value)
    return {key: _thaw(value[key]) for key in keys}


def _listing(items: Any, num_spaces: int) -> str:
    if not isinstance(items, dict):
        return repr(items)
    if not items:
        return "{}"
    margin = "\n" + " " * num_spaces
    entries = (f"\n{key}: {_listing(value, num_spaces)}," for key, value in items.items())
    return "{" + "".join(entries).replace("\n", margin) + "\n}"


def freeze(xs: Mapping[Any, Any]) -> FrozenDict[Any, Any]:
    """Return a FrozenDict with the items of a nested mapping, every level copied."""
    return FrozenDict(xs)


def unfreeze(x: FrozenDict[Any, Any] | dict[str, Any]) -> dict[Any, Any]:
    """Return a plain, nested dict that may be written to.

    Args:
      x: a FrozenDict, or a dict that may contain some. Anything else is returned as it is.

    Returns:
      A new dict; a FrozenDict's keys come back sorted (see `FrozenDict.unfreeze`), a dict's in
      their own order.
    """
    if isinstance(x, FrozenDict):
        return x.unfreeze()
    if isinstance(x, dict):
        return {key: unfreeze(value) for key, value in x.items()}
    return x


def _check_dictionary(x: Any) -> None:
    if not isinstance(x, (FrozenDict, dict)):
        raise TypeError(f"Expected FrozenDict or dict, got {type(x)}.")


def _duplicate(x: dict[Any, Any]) -> dict[Any, Any]:
    """Copy the containers of a dict; a subclass unknown to JAX is copied one level deep."""
    result = _thaw(x) if type(x) is dict else jax.tree_util.tree_map(_identity, x)
    return _copylib.copy(x) if result is x else result


@overload
def copy(x: FrozenDict[K, V], add_or_replace: Mapping[K, V] = ...) -> FrozenDict[K, V]: ...
@overload
def copy(x: dict[K, V], add_or_replace: Mapping[K, V] = ...) -> dict[K, V]: ...
def copy(x: Any, add_or_replace: Mapping[Any, Any] = _EMPTY) -> Any:
    """Return a copy of `x`, of the same kind, with some items added or replaced.

    Lets code treat FrozenDict and dict alike; neither argument is changed.

    Args:
      x: a FrozenDict or a dict.
      add_or_replace: the items to put on top.

    Raises:
      TypeError: if `x` is neither.

    Example:
      >>> from ramie.trees.frozen import copy
      >>> copy({"a": 1}, {"b": 2})
      {'a': 1, 'b': 2}
    """
    _check_dictionary(x)
    if isinstance(x, FrozenDict):
        return x.copy(add_or_replace)
    result = _duplicate(x)
    result.update(add_or_replace)
    return result


@overload
def pop(x: FrozenDict[K, V], key: K) -> tuple[FrozenDict[K, V], V]: ...
@overload
def pop(x: dict[K, V], key: K) -> tuple[dict[K, V], V]: ...
def pop(x: Any, key: Any) -> tuple[Any, Any]:
    """Return a copy of `x`, of the same kind, without `key`, and the value that `key` had.

    Args:
      x: a FrozenDict or a dict; it is not changed.
      key: the item to take out.

    Raises:
      TypeError: if `x` is neither.
      KeyError: if the key is absent, as for any mapping.

    Example:
      >>> from ramie.trees.frozen import pop
      >>> pop({"params": 1, "state": 2}, "params")
      ({'state': 2}, 1)
    """
    _check_dictionary(x)
    if isinstance(x, FrozenDict):
        return x.pop(key)
    result = _duplicate(x)
    return result, result.pop(key)


def pretty_repr(x: Any, num_spaces: int = 4) -> str:
    """Return an indented listing of a nested dictionary; `repr` of anything else.

    Args:
      x: a FrozenDict, a dict, or any value.
      num_spaces: the indentation of each level.
    """
    if isinstance(x, FrozenDict):
        return x.pretty_repr(num_spaces)
    return _listing(x, num_spaces)


def _restore_frozen(target: FrozenDict[Any, Any], state: Any) -> FrozenDict[Any, Any]:
    return FrozenDict(state_dict.restore_dict(target, state))


state_dict.register_serialization_state(FrozenDict, state_dict.dict_to_state, _restore_frozen)
