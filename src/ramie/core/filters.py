"""Filters: which collections (or random streams) something applies to.

A filter is `True` (every name), `False` (no name), a string (that one name), a container of
names, or a `DenyList` of any of these (every name but those). Whatever its spelling, a filter
stands for a finite set of names or for the complement of one; the set operations below work on
that reading, so their answers are exact for every mixture of spellings.
"""

import dataclasses
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from ramie import errors

__all__ = [
    "DenyList",
    "Filter",
    "filter_to_set",
    "group_collections",
    "in_filter",
    "intersect_filters",
    "is_filter_empty",
    "normal_form",
    "subtract_filters",
    "union_filters",
]

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class DenyList:
    """Matches every name that the filter `deny` does not match.

    Example:
        >>> in_filter(DenyList("params"), "batch_stats")
        True
    """

    deny: "Filter"


Filter: TypeAlias = bool | str | Container[str] | DenyList


def in_filter(filter_like: Filter, col: str) -> bool:
    """Tell whether the filter matches the name `col`.

    Args:
      filter_like: the filter.
      col: the name of a collection or of a random stream.

    Raises:
      InvalidFilterError: if `filter_like` is none of the five spellings.
    """
    if filter_like is True or filter_like is False:
        return filter_like
    if isinstance(filter_like, str):
        return col == filter_like
    if isinstance(filter_like, DenyList):
        return not in_filter(filter_like.deny, col)
    if isinstance(filter_like, Container):
        return col in filter_like
    raise errors.InvalidFilterError(filter_like)


def is_filter_empty(filter_like: Filter) -> bool:
    """Tell whether no name at all can match."""
    if filter_like is True or filter_like is False:
        return not filter_like
    if isinstance(filter_like, str):
        return False
    complement, names = normal_form(filter_like)
    return not complement and not names


def filter_to_set(x: Filter) -> set[str]:
    """List the names that a finite filter matches.

    Raises:
      ValueError: if the filter matches infinitely many names (`True`, most deny lists).
      InvalidFilterError: if `x` is not a filter.
    """
    complement, names = normal_form(x)
    if complement:
        raise ValueError(
            f"The filter {x!r} matches every name but finitely many, so its names cannot be "
            "listed. Name the collections you mean instead."
        )
    return set(names)


def union_filters(a: Filter, b: Filter) -> Filter:
    """Return a filter for the names that `a` or `b` matches."""
    if a is True or b is True:
        return True
    (a_rest, a_names), (b_rest, b_names) = normal_form(a), normal_form(b)
    if not a_rest and not b_rest:
        return set(a_names | b_names)
    if a_rest and b_rest:
        return DenyList(set(a_names & b_names))
    return DenyList(set(a_names - b_names if a_rest else b_names - a_names))


def intersect_filters(a: Filter, b: Filter) -> Filter:
    """Return a filter for the names that both `a` and `b` match."""
    if a is True:
        return b
    if b is True:
        return a
    (a_rest, a_names), (b_rest, b_names) = normal_form(a), normal_form(b)
    if a_rest and b_rest:
        return DenyList(set(a_names | b_names))
    if a_rest:
        return set(b_names - a_names)
    return set(a_names - b_names if b_rest else a_names & b_names)


def subtract_filters(a: Filter, b: Filter) -> Filter:
    """Return a filter for the names that `a` matches and `b` does not."""
    if b is True:
        return False
    if a is True:
        return DenyList(b)
    (a_rest, a_names), (b_rest, b_names) = normal_form(a), normal_form(b)
    if a_rest:
        return set(b_names - a_names) if b_rest else DenyList(set(a_names | b_names))
    return set(a_names & b_names if b_rest else a_names - b_names)


def group_collections(
    xs: Mapping[str, T], col_filters: Sequence[Filter]
) -> tuple[dict[str, T], ...]:
    """Deal the entries of `xs` out to groups, one per filter.

    An entry goes to the first filter that matches its name; entries that match none are left out.

    Args:
      xs: entries by name.
      col_filters: one filter per group, the first has the first choice.

    Returns:
      One new dict per filter, each in the order of `xs`.

    Example:
        >>> group_collections({"params": 1, "cache": 2, "stats": 3}, ["cache", True])
        ({'cache': 2}, {'params': 1, 'stats': 3})
    """
    groups: tuple[dict[str, T], ...] = tuple({} for _ in col_filters)
    for name, entry in xs.items():
        for group, wanted in zip(groups, col_filters, strict=True):
            if in_filter(wanted, name):
                group[name] = entry
                break
    return groups


def normal_form(filter_like: Any) -> tuple[bool, frozenset[str]]:
    """Reduce a filter to the set of names it stands for: equal for filters that match alike.

    Returns:
      Whether the filter matches all names but those that follow, and these names.

    Raises:
      InvalidFilterError: if it is not a filter, or a container that cannot list its names.
    """
    if filter_like is True or filter_like is False:
        return filter_like, frozenset()
    if isinstance(filter_like, str):
        return False, frozenset((filter_like,))
    if isinstance(filter_like, DenyList):
        complement, names = normal_form(filter_like.deny)
        return not complement, names
    if isinstance(filter_like, Iterable):
        return False, frozenset(filter_like)
    raise errors.InvalidFilterError(filter_like)
