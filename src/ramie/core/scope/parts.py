"""Parts of a scope taken apart: its variables as arrays and what is around them, its counters."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import jax

from ramie.core.scope.variables import plain
from ramie.core.tracing.program import NotShared

__all__ = ["copied", "drawn_counts", "outline_of", "rebuilt", "update"]


def outline_of(part: Any, leaves: list[Any]) -> Hashable:
    """Collect the arrays of nested variables in order, and return their structure and types.

    Args:
      part: the variables.
      leaves: where the arrays are put.

    Raises:
      NotShared: if one is no array of JAX.
    """
    if isinstance(part, jax.core.Tracer):
        leaves.append(part)
        return part.aval
    if isinstance(part, Mapping):
        return tuple([(name, outline_of(held, leaves)) for name, held in plain(part).items()])
    inner, treedef = jax.tree_util.tree_flatten(part)
    for leaf in inner:
        if not isinstance(leaf, jax.Array):
            raise NotShared("has a variable that is no array of JAX")
    leaves.extend(inner)
    return (treedef, *[jax.typeof(leaf) for leaf in inner])


def rebuilt(part: Any, leaves: Iterator[Any]) -> Any:
    """Return nested variables like `part` with other arrays."""
    if isinstance(part, Mapping):
        return {name: rebuilt(held, leaves) for name, held in plain(part).items()}
    return jax.tree_util.tree_map(lambda _: next(leaves), part)


def drawn_counts(counters: Mapping[Any, Any]) -> Hashable:
    """Return something equal for counters of keys from which the same keys follow."""
    found = [(k, drawn_counts(n) if isinstance(n, dict) else n) for k, n in counters.items()]
    return frozenset((k, n) for k, n in found if n)


def copied(counters: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return counters of keys that count for themselves."""
    return {k: copied(n) if isinstance(n, dict) else n for k, n in counters.items()}


def update(counters: dict[Any, Any], after: Mapping[Any, Any]) -> None:
    """Set counters of keys to what others have reached."""
    for name, count in after.items():
        if isinstance(count, dict):
            update(counters.setdefault(name, {}), count)
        else:
            counters[name] = count
