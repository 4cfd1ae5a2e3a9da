"""Nested mappings as flat ones, by path."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ramie.nnx.states.nested import nested, raw, sorted_keys

__all__ = ["empty_node", "flatten_mapping", "flatten_to_sequence", "unflatten_mapping"]

IsLeaf = Callable[[tuple[Any, ...], Mapping[Any, Any]], bool]


class _EmptyNode:
    """Stands for an empty mapping among the leaves."""

    def __repr__(self) -> str:
        return "empty_node"

    def __reduce__(self) -> str:
        return "empty_node"


empty_node = _EmptyNode()
"""What `flatten_mapping` puts in place of empty mappings, if they are kept."""


def _pairs(
    tree: Any, path: tuple[Any, ...], is_leaf: IsLeaf | None, keep_empty: bool
) -> Iterable[tuple[tuple[Any, ...], Any]]:
    mapping = raw(tree)
    if not isinstance(mapping, Mapping) or (is_leaf is not None and is_leaf(path, mapping)):
        yield path, tree
    elif mapping:
        for key in mapping:
            yield from _pairs(mapping[key], (*path, key), is_leaf, keep_empty)
    elif keep_empty and path:
        yield path, empty_node


def _check_mapping(xs: Any) -> None:
    if not isinstance(raw(xs), Mapping):
        raise TypeError(
            f"expected Mapping; got {type(xs).__name__}: only what has keys can be flattened."
        )


def flatten_mapping(
    xs: Mapping[Any, Any],
    /,
    *,
    keep_empty_nodes: bool = False,
    is_leaf: IsLeaf | None = None,
    sep: str | None = None,
) -> dict[Any, Any]:
    """Return the leaves of a nested mapping by path.

    Args:
      xs: the mapping. Only mappings in it are looked into.
      keep_empty_nodes: whether `empty_node` stands for empty mappings; else they are left out.
      is_leaf: tells of a path and a mapping whether it is to be taken as a leaf.
      sep: joins paths to strings; by default they are tuples.

    Raises:
      TypeError: if `xs` is no mapping, or keys that are to be joined are no strings.

    Example:
        >>> flatten_mapping({"a": {"b": 1, "c": {}}}, sep="/")
        {'a/b': 1}
    """
    _check_mapping(xs)
    pairs = _pairs(xs, (), is_leaf, keep_empty_nodes)
    return {path if sep is None else sep.join(path): value for path, value in pairs}


def flatten_to_sequence(
    xs: Mapping[Any, Any], /, *, is_leaf: IsLeaf | None = None
) -> list[tuple[tuple[Any, ...], Any]]:
    """List paths and leaves of a nested mapping, sorted; empty mappings are left out.

    Args:
      xs: the mapping.
      is_leaf: see `flatten_mapping`.

    Raises:
      TypeError: if `xs` is no mapping.

    Example:
        >>> flatten_to_sequence({"b": 2, "a": {"c": 1}})
        [(('a', 'c'), 1), (('b',), 2)]
    """
    _check_mapping(xs)
    return list(_ordered(xs, (), is_leaf))


def _ordered(
    tree: Any, path: tuple[Any, ...], is_leaf: IsLeaf | None
) -> Iterable[tuple[tuple[Any, ...], Any]]:
    mapping = raw(tree)
    if not isinstance(mapping, Mapping) or (is_leaf is not None and is_leaf(path, mapping)):
        yield path, tree
        return
    for key in sorted_keys(mapping):
        yield from _ordered(mapping[key], (*path, key), is_leaf)


def unflatten_mapping(
    xs: Mapping[Any, Any] | Iterable[tuple[Any, Any]], /, *, sep: str | None = None
) -> dict[Any, Any]:
    """Build nested dictionaries from leaves by path: `flatten_mapping` backwards.

    Args:
      xs: a mapping of paths to leaves, or pairs.
      sep: paths are strings, to be split here.

    Raises:
      TypeError: if `xs` is neither.
      ValueError: if a path leads through a leaf.

    Example:
        >>> unflatten_mapping({"a/b": 1}, sep="/")
        {'a': {'b': 1}}
    """
    if not isinstance(xs, Iterable):
        raise TypeError(f"expected Mapping or Iterable; got {type(xs).__name__}")
    items: Any = xs.items() if isinstance(xs, Mapping) else xs
    return nested(
        (path if sep is None else path.split(sep), {} if value is empty_node else value)
        for path, value in items
    )
