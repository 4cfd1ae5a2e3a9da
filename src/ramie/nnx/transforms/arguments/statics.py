"""What does not pass through a transformation: static arguments, and mutable cells of JAX."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from ramie.core.tracing.trace import is_box
from ramie.nnx.variable.cells import is_ref

__all__ = [
    "Statics",
    "with_cells",
    "with_statics",
    "without_cells",
    "without_statics",
]

Statics: TypeAlias = tuple[tuple[int, type, Any], ...]
"""Position, class and value of each; the class, as 1, 1.0 and True are equal."""


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


def without_cells(values: Sequence[Any]) -> tuple[list[Any], dict[int, Any]]:
    """Return the values that are no cells, and the cells with their positions.

    A cell is the same inside and outside of a branch or a loop; there is no need to carry it.
    """
    cells = {i: x for i, x in enumerate(values) if is_ref(x) or is_box(x)}
    return [x for i, x in enumerate(values) if i not in cells], cells


def with_cells(values: Iterable[Any], cells: Mapping[int, Any]) -> list[Any]:
    """Return all values: `without_cells` backwards."""
    whole = list(values)
    for position in sorted(cells):
        whole.insert(position, cells[position])
    return whole
