"""Structures of trees without the trees: paths, parts, and trees of which something is missing.

A class of the user may look at its fields, so it is never made with anything but what belongs
there: not with numbers to find paths, nor with None for what has no gradient.
"""

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from jax.tree_util import tree_unflatten

from ramie.nnx.states.nested import Path

__all__ = ["leaf_paths", "part_of", "with_gaps"]

_LEAF = jax.tree_util.tree_structure(0)
_MAPPINGS = (dict, collections.OrderedDict, collections.defaultdict)


def leaf_paths(treedef: Any) -> Iterator[Path]:
    """List the paths of all leaves, in keys, positions and names of fields.

    Example:
        >>> list(leaf_paths(jax.tree.structure({"a": [1, 2], "b": None})))
        [('a', 0), ('a', 1)]
    """
    if treedef == _LEAF:
        yield ()
        return
    children = treedef.children()
    for key, child in zip(_keys(treedef, len(children)), children, strict=True):
        yield from ((key, *path) for path in leaf_paths(child))


def _keys(treedef: Any, count: int) -> Sequence[Any]:
    """Return how the children of a structure are called."""
    if not count:
        return ()
    kind, extra = treedef.node_data()
    if kind in (dict, collections.OrderedDict):
        return tuple(extra)
    if kind is collections.defaultdict:
        return tuple(extra[1])
    names: Any = getattr(kind, "_fields", None)
    if names is None and dataclasses.is_dataclass(kind):
        names = [
            field.name
            for field in dataclasses.fields(kind)
            if field.metadata.get("pytree_node", True) and not field.metadata.get("static", False)
        ]
    if names is None and isinstance(extra, tuple) and all(isinstance(x, str) for x in extra):
        names = extra
    return names if names is not None and len(names) == count else range(count)


def part_of(treedef: Any, leaves: Sequence[Any], *positions: int) -> Any:
    """Put a part of a tree together.

    Args:
      treedef: the structure of the whole.
      leaves: the leaves of the whole.
      *positions: which child of the whole, which child of that, and so on.

    Example:
        >>> part_of(jax.tree.structure(((1, 2), {"a": 3})), "xyz", 0, 1)
        'y'
    """
    start = 0
    for position in positions:
        children = treedef.children()
        start += sum(child.num_leaves for child in children[:position])
        treedef = children[position]
    return tree_unflatten(treedef, leaves[start : start + treedef.num_leaves])


def with_gaps(treedef: Any, leaves: Sequence[Any]) -> Any:
    """Put a tree together in which None stands for leaves that are missing.

    Where something is missing in an object of another class than those of Python, None stands for
    all of the object.

    Example:
        >>> with_gaps(jax.tree.structure({"a": [1, 2]}), [5, None])
        {'a': [5, None]}
    """
    if treedef == _LEAF:
        return leaves[0]
    if all(leaf is not None for leaf in leaves):
        return tree_unflatten(treedef, leaves)
    kind = treedef.node_data()[0]
    parts = []
    start = 0
    for child in treedef.children():
        parts.append(with_gaps(child, leaves[start : start + child.num_leaves]))
        start += child.num_leaves
    if kind in _MAPPINGS:
        return dict(zip(_keys(treedef, len(parts)), parts, strict=True))
    if kind in (tuple, list):
        return kind(parts)
    return kind(*parts) if hasattr(kind, "_fields") else None
