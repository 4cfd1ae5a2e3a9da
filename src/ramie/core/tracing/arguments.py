"""Arguments that are named by number: which they are in a call, by position or by keyword."""

import operator
from collections.abc import Iterable

__all__ = ["positions"]


def positions(argnums: int | Iterable[int] | None, count: int) -> tuple[int, ...]:
    """Return argument numbers as positions in a call, in order and each once.

    Args:
      argnums: a number or several; negative ones count from the end.
      count: how many arguments there are. Numbers beyond them are passed over.

    Example:
      >>> positions((2, -1, 0), 3)
      (0, 2)
    """
    numbers = argnums if isinstance(argnums, Iterable) else () if argnums is None else (argnums,)
    found = (operator.index(number) for number in numbers)
    return tuple(sorted({i % count for i in found if -count <= i < count}))
