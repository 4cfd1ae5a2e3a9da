"""The logical axis rules in force: which mesh axes each logical axis name stands for."""

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TypeAlias

from ramie.core import meta as meta

__all__ = [
    "LogicalRules",
    "get_logical_axis_rules",
    "logical_axis_rules",
    "set_logical_axis_rules",
]

LogicalRules: TypeAlias = Sequence[tuple[str, str | tuple[str, ...] | None]]


# Of one thread or asynchronous task. A new thread starts without any.
_rules: ContextVar[LogicalRules] = ContextVar("logical_axis_rules", default=())


def set_logical_axis_rules(rules: LogicalRules) -> None:
    """Replace the logical axis rules of this thread or asynchronous task.

    Args:
      rules: pairs of a logical axis name and the mesh axis, mesh axes or None it may be laid on,
        the preferred ones first.
    """
    _rules.set(rules)


def get_logical_axis_rules() -> LogicalRules:
    """Return the logical axis rules of this thread or asynchronous task."""
    return _rules.get()


@contextlib.contextmanager
def logical_axis_rules(rules: LogicalRules) -> Iterator[None]:
    """Use other logical axis rules within a `with` block.

    Args:
      rules: as for `set_logical_axis_rules`; they replace the outer ones, they do not extend them.

    Example:
        >>> with logical_axis_rules([("batch", "data")]):
        ...     get_logical_axis_rules()
        [('batch', 'data')]
    """
    outer = _rules.set(rules)
    try:
        yield
    finally:
        _rules.reset(outer)
