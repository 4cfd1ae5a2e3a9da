"""The attributes of a node by name and status, in order: one object for all nodes that agree."""

import operator
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from jax.tree_util import GetAttrKey, SequenceKey

__all__ = ["Layout", "key_of_name", "layout_of"]


def _getter(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if not names:
        return lambda attributes: ()
    if len(names) == 1:
        name = names[0]
        return lambda attributes: (attributes[name],)
    return operator.itemgetter(*names)


def key_of_name(name: str) -> int | str:
    """Return the key in a path of an attribute of a list: an index, or the name of any other."""
    return int(name) if name.isdecimal() else name


def _index_first(name: str) -> tuple[bool, int | str]:
    key = key_of_name(name)
    return isinstance(key, str), key


class Layout:
    """Names of attributes, sorted, data apart from static ones. Equal layouts are one object.

    Args:
      status: for each attribute, whether it is data.
      as_index: names such as "0" are indices of a list; paths use integers for them.
    """

    __slots__ = (
        "__weakref__",
        "as_index",
        "blank",
        "data",
        "data_keys",
        "data_of",
        "key_entries",
        "static",
        "static_of",
        "status",
    )

    def __init__(self, status: Mapping[str, bool], as_index: bool) -> None:
        names = tuple(sorted(status, key=_index_first) if as_index else sorted(status))
        self.status = dict(status)
        self.as_index = as_index
        self.blank = dict.fromkeys(names)  # decides the order of attributes that are stored later
        self.data = tuple(name for name in names if status[name])
        self.static = tuple(name for name in names if not status[name])
        self.data_keys = tuple(map(key_of_name, self.data)) if as_index else self.data
        self.data_of = _getter(self.data)
        self.static_of = _getter(self.static)
        self.key_entries = tuple(
            SequenceKey(key) if isinstance(key, int) else GetAttrKey(key) for key in self.data_keys
        )

    def __repr__(self) -> str:
        return f"Layout(data={self.data}, static={self.static})"

    def __reduce__(self) -> tuple[Any, ...]:
        return layout_of, (self.status, self.as_index)


_interned: "weakref.WeakValueDictionary[Any, Layout]" = weakref.WeakValueDictionary()


def layout_of(status: Mapping[str, bool], as_index: bool = False) -> Layout:
    """Return the one layout for these attributes.

    Args:
      status: for each attribute, whether it is data.
      as_index: names are indices of a list.
    """
    key = (as_index, frozenset(status.items()))
    known = _interned.get(key)
    return _interned.setdefault(key, Layout(status, as_index)) if known is None else known
