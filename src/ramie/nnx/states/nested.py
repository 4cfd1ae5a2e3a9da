"""Nested mappings and their flat form: what states are made of."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from ramie.nnx.states.filters import Predicate
from ramie.nnx.variable.base import Variable

__all__ = [
    "Path",
    "Plan",
    "RawMapping",
    "dealt",
    "filled",
    "flattened",
    "named_paths",
    "nested",
    "none_left",
    "pure_dict",
    "raw",
    "replaced",
    "restore_int_paths",
    "sorted_keys",
]

Path: TypeAlias = tuple[Hashable, ...]
Plan: TypeAlias = tuple[tuple[Any, Any], ...]
"""A nested mapping without its leaves: for each key the number of its leaf, or another plan."""


class RawMapping:
    """A mapping around a plain dictionary, `raw_mapping`."""

    __slots__ = ()

    @property
    def raw_mapping(self) -> dict[Any, Any]:
        """The dictionary."""
        raise NotImplementedError(f"{type(self).__name__} has no mapping")


def sorted_keys(keys: Iterable[Any]) -> list[Any]:
    """Sort keys; integers come before strings."""
    listed = list(keys)
    try:
        return sorted(listed)
    except TypeError:
        return sorted(listed, key=lambda key: (not isinstance(key, int), type(key).__name__, key))


def flattened(tree: Mapping[Any, Any]) -> tuple[list[Path], list[Any]]:
    """List paths and leaves of a nested mapping, sorted; empty mappings vanish."""
    paths: list[Path] = []
    leaves: list[Any] = []

    # Given to itself: if it read its own name, it would hold itself and the leaves.
    def visit(mapping: Mapping[Any, Any], path: Path, again: Any) -> None:
        for key in sorted_keys(mapping):
            value = mapping[key]
            if isinstance(raw(value), dict):
                again(raw(value), (*path, key), again)
            else:
                paths.append((*path, key))
                leaves.append(value)

    visit(raw(tree), (), visit)
    return paths, leaves


def nested(items: Iterable[tuple[Iterable[Hashable], Any]]) -> dict[Any, Any]:
    """Build a nested dictionary from paths and values.

    Raises:
      ValueError: if a path is empty, or leads through a value.
    """
    tree: dict[Any, Any] = {}
    for path, value in items:
        parts = tuple(path)
        if not parts:
            raise ValueError(f"A path has at least one key, but that of {value!r} is empty.")
        node = tree
        for key in parts[:-1]:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise ValueError(f"The path {parts} leads through another value: {node!r}.")
        node[parts[-1]] = raw(value)
    return tree


def filled(plan: Plan, leaves: Sequence[Any]) -> dict[Any, Any]:
    """Build a nested dictionary from a plan and its leaves."""
    return {
        key: leaves[place] if place.__class__ is int else filled(place, leaves)
        for key, place in plan
    }


def raw(tree: Any) -> Any:
    """Return the mapping inside a State, anything else as it is."""
    return tree.raw_mapping if isinstance(tree, RawMapping) else tree


def dealt(
    paths: Sequence[Path], leaves: Sequence[Any], predicates: Sequence[Predicate]
) -> list[tuple[list[Path], list[Any]]]:
    """Deal leaves out to the first predicate that takes them; the last group gets the others."""
    groups: list[tuple[list[Path], list[Any]]] = [([], []) for _ in range(len(predicates) + 1)]
    for path, leaf in zip(paths, leaves, strict=True):
        takers = (i for i, predicate in enumerate(predicates) if predicate(path, leaf))
        group = groups[next(takers, -1)]
        group[0].append(path)
        group[1].append(leaf)
    return groups


def none_left(rest: tuple[list[Path], list[Any]]) -> None:
    """Raise if some leaf was taken by no filter.

    Raises:
      ValueError: naming the paths.
    """
    if rest[0]:
        raise ValueError(
            f"Non-exhaustive filters, got a non-empty remainder: {named_paths(rest[0])}.\n"
            "Use `...` to match all remaining elements."
        )


def named_paths(paths: Sequence[Path]) -> str:
    """Write paths in a message: the first of many."""
    named = ", ".join("/".join(map(str, path)) for path in paths[:8])
    return named + (f" and {len(paths) - 8} more" if len(paths) > 8 else "")


def restore_int_paths(pure_dict: Mapping[Any, Any]) -> dict[Any, Any]:
    """Turn keys that are strings of digits into integers, as file formats turn them into strings.

    Example:
        >>> restore_int_paths({"0": {"a": 1}})
        {0: {'a': 1}}
    """
    return nested((map(_as_key, path), x) for path, x in zip(*flattened(pure_dict), strict=True))


def _as_key(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.isdigit() else key


def pure_dict(tree: Mapping[Any, Any], extract_fn: Callable[[Any], Any] | None) -> dict[Any, Any]:
    """Build nested dictionaries of what `extract_fn` returns for each leaf.

    Args:
      tree: a nested mapping.
      extract_fn: by default the value of a variable, anything else as it is.
    """
    extract = _value_of if extract_fn is None else extract_fn
    paths, leaves = flattened(tree)
    return nested(zip(paths, map(extract, leaves), strict=True))


def _value_of(leaf: Any) -> Any:
    return leaf._plain() if isinstance(leaf, Variable) else leaf


def _with_value(leaf: Any, value: Any) -> Any:
    return leaf.replace(value) if isinstance(leaf, Variable) else value


def replaced(
    tree: Mapping[Any, Any],
    pure: Mapping[Any, Any],
    replace_fn: Callable[[Any, Any], Any] | None,
) -> None:
    """Put the values of nested dictionaries into a nested mapping, in place.

    Args:
      tree: what is changed.
      pure: values at some of its paths; integers may be written as strings.
      replace_fn: makes the new leaf of the old one and the value; by default a variable of the
        same kind.

    Raises:
      ValueError: if there is a path that `tree` does not have.
    """
    known = dict(zip(*flattened(tree), strict=True))
    replace = _with_value if replace_fn is None else replace_fn
    for path, value in zip(*flattened(pure), strict=True):
        found = path if path in known else tuple(map(_as_key, path))
        if found not in known:
            boxed = found[-1] == "value" and found[:-1] in known
            raise ValueError(
                f"key in pure_dict not available in state: {path}. The state has {[*known][:8]}"
                f"{', ...' if len(known) > 8 else ''}."
                + boxed
                * " This is how Orbax stores variables: restore with the target nnx.state(model)."
            )
        mapping = raw(tree)
        for key in found[:-1]:
            mapping = raw(mapping[key])
        mapping[found[-1]] = replace(known[found], value)
