"""Static arguments: those that stay as they are when the others are taken apart."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

__all__ = ["Statics", "as_positions", "with_statics", "without_statics"]

Statics: TypeAlias = tuple[tuple[int, type, Any], ...]
"""Position, class and value of each; the class, as 1, 1.0 and True are equal."""


def as_positions(argnums: int | Iterable[int]) -> tuple[int, ...]:
    """Return positions as a tuple."""
    if isinstance(argnums, Iterable):
        return tuple(map(operator.index, argnums))
    return (operator.index(argnums),)


def without_statics(args: Sequence[Any], positions: Sequence[int]) -> tuple[list[Any], Statics]:
    """Return the arguments that are not static, and those that are.

    Args:
      args: all.
      positions: of the static ones; negative ones count from the end, and those beyond it are
        passed over.
    """
    count = len(args)
    chosen = sorted({i % count for i in positions if -count <= i < count})
    rest = [x for i, x in enumerate(args) if i not in chosen]
    return rest, tuple((i, type(args[i]), args[i]) for i in chosen)


def with_statics(args: Sequence[Any], statics: Statics) -> list[Any]:
    """Return all arguments: `without_statics` backwards."""
    whole = list(args)
    for position, _, value in statics:
        whole.insert(position, value)
    return whole
