"""Nested dictionaries as flat ones whose keys are paths, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

from ramie.trees import struct

__all__ = ["empty_node", "flatten_dict", "is_nested", "path_aware_map", "unflatten_dict"]


@struct.dataclass
class _EmptyNode:
    """The type of `empty_node`; a pytree without leaves, so tree functions pass over it."""


empty_node = _EmptyNode()
"""Stands for an empty dictionary in a flat one."""


def is_nested(x: Any) -> bool:
    """Whether ``x`` is an inner node: a dict or a FrozenDict; every other value is a leaf."""
    # A FrozenDict is known by its method: the class lives in a part that builds on this one.
    return isinstance(x, dict) or (hasattr(type(x), "unfreeze") and isinstance(x, Mapping))


@overload
def flatten_dict(
    xs: Mapping[Any, Any],
    keep_empty_nodes: bool = False,
    is_leaf: Callable[[tuple[Any, ...], Mapping[Any, Any]], bool] | None = None,
    sep: None = None,
) -> dict[tuple[Any, ...], Any]: ...
@overload
def flatten_dict(
    xs: Mapping[Any, Any],
    keep_empty_nodes: bool = False,
    is_leaf: Callable[[tuple[Any, ...], Mapping[Any, Any]], bool] | None = None,
    *,
    sep: str,
) -> dict[str, Any]: ...
@overload
def flatten_dict(
    xs: Mapping[Any, Any],
    keep_empty_nodes: bool,
    is_leaf: Callable[[tuple[Any, ...], Mapping[Any, Any]], bool] | None,
    sep: str,
) -> dict[str, Any]: ...
def flatten_dict(
    xs: Mapping[Any, Any],
    keep_empty_nodes: bool = False,
    is_leaf: Callable[[tuple[Any, ...], Mapping[Any, Any]], bool] | None = None,
    sep: str | None = None,
) -> Any:
    """Flatten a nested dictionary: ``{"a": {"b": 1}}`` becomes ``{("a", "b"): 1}``.

    Args:
        xs: A nested dict or FrozenDict. Containers of other kinds are leaves.
        keep_empty_nodes: Represent empty inner dictionaries by `empty_node`; otherwise they
            leave no trace. An empty outermost dictionary is empty either way.
        is_leaf: Called as ``is_leaf(path, node)`` for each dictionary, the outermost first, with
            the path as a tuple; True keeps that dictionary whole.
        sep: Join the keys of a path by this text instead of making tuples.

    Returns:
        A flat dictionary in the order of a walk through the nested one.

    Raises:
        TypeError: ``xs`` is no dictionary, or ``sep`` is given and a key is no string.
        ValueError: Two paths are the same text when joined by ``sep``.

    Example:
        >>> flatten_dict({"dense": {"kernel": 1, "bias": 2}}, sep="/")
        {'dense/kernel': 1, 'dense/bias': 2}
    """
    if not is_nested(xs):
        raise TypeError(
            f"expected (frozen)dict; got {type(xs)}. Turn other trees into nested dicts first, "
            "with serialization.to_state_dict, to flatten them."
        )
    flat: dict[Any, Any] = {}

    # Given to itself: if it read its own name, it would hold itself and the leaves.
    def visit(node: Any, path: tuple[Any, ...], again: Any) -> None:
        if not is_nested(node) or (is_leaf is not None and is_leaf(path, node)):
            value = node
        elif node or not path:
            for key, child in node.items():
                again(child, (*path, key), again)
            return
        elif keep_empty_nodes:
            value = empty_node
        else:
            return
        name = path if sep is None else _join(path, sep)
        if name in flat:
            raise ValueError(
                f"Two entries are both called {name!r} when joined by {sep!r}: a key contains the "
                "separator. Choose another one, or leave sep out to get tuples."
            )
        flat[name] = value

    visit(xs, (), visit)
    return flat


def _join(path: tuple[Any, ...], sep: str) -> str:
    try:
        return sep.join(path)
    except TypeError:
        raise TypeError(
            f"Only string keys can be joined by sep={sep!r}, but the path {path!r} holds another "
            "key. Leave sep out to get tuples."
        ) from None


def unflatten_dict(
    xs: Mapping[str, Any] | Mapping[tuple[Any, ...], Any], sep: str | None = None
) -> dict[Any, Any]:
    """Rebuild a nested dictionary from a flat one: the inverse of `flatten_dict`.

    Args:
        xs: A dictionary whose keys are paths: tuples, or with ``sep`` texts.
        sep: The separator that joins the keys of a path.

    Returns:
        A nested dict; `empty_node` becomes an empty dict.

    Raises:
        TypeError: ``xs`` is no dictionary, or a key is no path.
        ValueError: An entry lies below another one that is a leaf, or a path is empty.

    Example:
        >>> unflatten_dict({"a/b": 1, "a/c": 2}, sep="/")
        {'a': {'b': 1, 'c': 2}}
    """
    if not isinstance(xs, Mapping):
        raise TypeError(
            f"input is not a dict; it is a {type(xs)}. unflatten_dict takes a dictionary with "
            "paths as keys."
        )
    nested: dict[Any, Any] = {}
    inner: dict[tuple[Any, ...], dict[Any, Any]] = {(): nested}

    for name, value in xs.items():
        path = _split(name, sep)
        if isinstance(value, _EmptyNode):
            _node_at(path, inner)
            continue
        parent = _node_at(path[:-1], inner)
        if path[-1] in parent:
            raise _conflict(path)
        parent[path[-1]] = value
    return nested


def _node_at(path: tuple[Any, ...], inner: dict[tuple[Any, ...], dict[Any, Any]]) -> dict[Any, Any]:
    node = inner.get(path)
    if node is None:
        parent = _node_at(path[:-1], inner)
        if path[-1] in parent:
            raise _conflict(path)
        node = inner[path] = parent[path[-1]] = {}
    return node


def _split(name: Any, sep: str | None) -> tuple[Any, ...]:
    """Read the key of a flat dictionary as a path."""
    if sep is not None:
        if not isinstance(name, str):
            raise TypeError(
                f"With sep={sep!r} the keys of a flat dictionary are texts, but one is {name!r}. "
                "Leave sep out for keys that are tuples."
            )
        return tuple(name.split(sep))
    if isinstance(name, str) or not isinstance(name, Iterable):
        raise TypeError(
            f"The keys of a flat dictionary are paths, but one is {name!r}. Use tuples such as "
            "('a', 'b'), or pass the separator of the texts as sep."
        )
    path = tuple(name)
    if not path:
        raise ValueError(
            "The path () names the whole dictionary and cannot be an entry of it. It comes from "
            "flatten_dict with an is_leaf that is true for the outermost dictionary."
        )
    return path


def _conflict(path: tuple[Any, ...]) -> ValueError:
    return ValueError(
        f"The path {path!r} is a leaf in one entry of the flat dictionary and has entries below "
        "it in another. Remove one of the two."
    )


def path_aware_map(
    f: Callable[[tuple[Any, ...], Any], Any], nested_dict: Mapping[Any, Any]
) -> dict[Any, Any]:
    """Map a function of path and value over the leaves of a nested dictionary.

    Args:
        f: Called as ``f(path, leaf)``, the path a tuple of keys.
        nested_dict: A nested dict or FrozenDict; containers of other kinds are leaves.

    Returns:
        A nested dict of the same structure with the results as leaves.

    Raises:
        TypeError: ``nested_dict`` is no dictionary.

    Example:
        >>> path_aware_map(lambda path, x: -x if "bias" in path else x,
        ...                {"dense": {"kernel": 1, "bias": 2}})
        {'dense': {'kernel': 1, 'bias': -2}}
    """
    flat = flatten_dict(nested_dict, keep_empty_nodes=True)
    return unflatten_dict(
        {
            path: leaf if isinstance(leaf, _EmptyNode) else f(path, leaf)
            for path, leaf in flat.items()
        }
    )
