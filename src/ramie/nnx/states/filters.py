"""Filters: which entries of a state something applies to.

A filter is a function of a path and a value, or a literal that stands for one: a class (values of
this class, and variables of this kind), a string (variables with this tag), `...` or True (all),
None or False (nothing), a list or tuple (any of its filters).
"""

import builtins
import dataclasses
from collections.abc import Callable, Hashable, Sequence
from types import EllipsisType
from typing import Any as AnyType
from typing import TypeAlias

from ramie.nnx.printing.text import short_text

__all__ = [
    "All",
    "Any",
    "Everything",
    "Filter",
    "Not",
    "Nothing",
    "OfType",
    "PathContains",
    "PathIn",
    "Predicate",
    "WithTag",
    "filters_to_predicates",
    "to_predicate",
]

PathParts: TypeAlias = tuple[Hashable, ...]
Predicate: TypeAlias = Callable[[PathParts, AnyType], bool]
Filter: TypeAlias = (
    "type | str | Predicate | bool | EllipsisType | list[Filter] | tuple[Filter, ...] | None"
)


def to_predicate(filter: Filter) -> Predicate:
    """Return the function that a filter stands for.

    Raises:
      TypeError: if it is no filter.

    Example:
        >>> from ramie import nnx
        >>> nnx.filterlib.to_predicate([nnx.Param, "dropout"])
        Any(OfType(Param), WithTag('dropout'))
    """
    if isinstance(filter, str):
        return WithTag(filter)
    if isinstance(filter, type):
        return OfType(filter)
    if filter is True or filter is ...:
        return Everything()
    if filter is False or filter is None:
        return Nothing()
    if isinstance(filter, list | tuple):
        return Any(*filter)
    if callable(filter):
        return filter
    raise TypeError(
        f"Invalid filter: {filter!r} of type {type(filter).__name__}. A filter is a type, a "
        "string, a function of path and value, ..., True, False, None, or a list of filters."
    )


def filters_to_predicates(filters: Sequence[Filter]) -> tuple[Predicate, ...]:
    """Return the function of each filter; one that takes all can only be the last.

    Raises:
      ValueError: if another follows it.
    """
    for index, filter in enumerate(filters[:-1]):
        if filter is True or filter is ...:
            rest = filters[index + 1 :]
            if not all(later is True or later is ... for later in rest):
                raise ValueError(
                    f"`...` or `True` can only be used as the last filters, got {filter} it at "
                    f"index {index}: the filters {rest} after it would get nothing."
                )
    return tuple(to_predicate(filter) for filter in filters)


@dataclasses.dataclass(frozen=True)
class WithTag:
    """Takes variables with a metadata entry `tag` of this value, as the state of random streams.

    Attributes:
      tag: the value.
    """

    tag: str

    def __call__(self, path: PathParts, x: AnyType) -> bool:
        """Tell whether the filter takes the value `x` at `path`."""
        return hasattr(x, "tag") and bool(x.tag == self.tag)

    def __repr__(self) -> str:
        return f"WithTag({self.tag!r})"


@dataclasses.dataclass(frozen=True)
class PathContains:
    """Takes what has a key in its path.

    Attributes:
      key: the key.
      exact: whether the whole key must be equal; else it is enough if it is part of one.

    Example:
        >>> from ramie import nnx
        >>> nnx.PathContains("back", exact=False)(("backbone", 0), None)
        True
    """

    key: Hashable
    exact: bool = True

    def __call__(self, path: PathParts, x: AnyType) -> bool:
        """Tell whether the filter takes the value `x` at `path`."""
        if self.exact:
            return self.key in path
        return any(str(self.key) in str(part) for part in path)

    def __repr__(self) -> str:
        return f"PathContains({self.key!r}, exact={self.exact})"


class PathIn:
    """Takes what is at one of the given paths.

    Args:
      *paths: tuples of keys.
    """

    def __init__(self, *paths: PathParts) -> None:
        self.paths = frozenset(paths)

    def __call__(self, path: PathParts, x: AnyType) -> bool:
        """Tell whether the filter takes the value `x` at `path`."""
        return path in self.paths

    def __repr__(self) -> str:
        return f"PathIn({', '.join(map(repr, sorted(self.paths, key=repr)))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PathIn) and self.paths == other.paths

    def __hash__(self) -> int:
        return hash((PathIn, self.paths))


@dataclasses.dataclass(frozen=True)
class OfType:
    """Takes values of a class, and what says in an attribute `type` that it stands for one.

    Attributes:
      type: the class.
    """

    type: builtins.type

    def __call__(self, path: PathParts, x: AnyType) -> bool:
        """Tell whether the filter takes the value `x` at `path`."""
        return isinstance(x, self.type)

    def __repr__(self) -> str:
        return f"OfType({short_text(self.type)})"


class _Combined:
    """A filter made of others.

    Args:
      *filters: the others.
    """

    def __init__(self, *filters: Filter) -> None:
        self.predicates = tuple(to_predicate(filter) for filter in filters)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(short_text, self.predicates))})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.predicates == other.predicates

    def __hash__(self) -> int:
        return hash((type(self), self.predicates))


class Any(_Combined):
    """Takes what at least one of the given filters takes.

    Args:
      *filters: the filters.
    """

    def __call__(self, path: PathParts, x: AnyType) -> bool:
        """Tell whether the filter takes the value `x` at `path`."""
        return any(predicate(path, x) for predicate in self.predicates)


class All(_Combined):
    """Takes what each of the given filters takes.

    Args:
      *filters: the filters.
    """

    def __call__(self, path: PathParts, x: AnyType) -> bool:
        """Tell whether the filter takes the value `x` at `path`."""
        return all(predicate(path, x) for predicate in self.predicates)


class Not(_Combined):
    """Takes what the given filter does not take.

    Args:
      collection_filter: the filter.
    """

    def __init__(self, collection_filter: Filter, /) -> None:
        super().__init__(collection_filter)

    def __call__(self, path: PathParts, x: AnyType) -> bool:
        """Tell whether the filter takes the value `x` at `path`."""
        return not self.predicates[0](path, x)


class Everything(_Combined):
    """Takes all."""

    def __init__(self) -> None:
        super().__init__()

    def __call__(self, path: PathParts, x: AnyType) -> bool:
        """Tell whether the filter takes the value `x` at `path`: it does."""
        return True


class Nothing(_Combined):
    """Takes nothing."""

    def __init__(self) -> None:
        super().__init__()

    def __call__(self, path: PathParts, x: AnyType) -> bool:
        """Tell whether the filter takes the value `x` at `path`: it does not."""
        return False
