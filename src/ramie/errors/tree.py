"""Mistakes in searching and editing trees with cursors."""

from __future__ import annotations

from typing import Any

from ramie.errors.base import RamieError

__all__ = ["CursorFindError", "TraverseTreeError"]


class CursorFindError(RamieError, LookupError):
    """``Cursor.find`` matched nothing, or more than one object.

    Args:
        cursor: The first object found, None when nothing was.
        cursor2: The second.
    """

    def __init__(self, cursor: Any = None, cursor2: Any = None) -> None:
        if cursor is not None and cursor2 is not None:
            message = (
                "More than one object found given the conditions of the cond_fn. "
                "The first two objects found have the following paths: "
                f"{_path(cursor)} and {_path(cursor2)} both match. Make the condition "
                "stricter, or use find_all."
            )
        else:
            message = (
                "No object found given the conditions of the cond_fn. Remember that it receives "
                "the path as one string, joined by '/', and the value; the root itself is not "
                "visited."
            )
        super().__init__(message)


class TraverseTreeError(RamieError, ValueError):
    """A traversal got both an update and a condition, or neither.

    Args:
        update_fn: The update function, or None.
        cond_fn: The condition, or None.
    """

    def __init__(self, update_fn: Any, cond_fn: Any) -> None:
        if update_fn is None and cond_fn is None:
            message = "Both update_fn and cond_fn are None. Exactly one of them must be None."
        else:
            message = (
                "Both update_fn and cond_fn are not None. Exactly one of them must be not None."
            )
        super().__init__(f"{message} Pass update_fn to change the tree, cond_fn to search it.")


def _path(cursor: Any) -> str:
    """The path of a cursor as code that reaches it, ``.params['kernel']``."""
    return getattr(cursor, "_path", None) or str(cursor)
