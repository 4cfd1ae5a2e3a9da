"""Identities that are not copied: the copy of a thing is another thing."""

from __future__ import annotations

import itertools
from typing import Any

__all__ = ["FlaxId", "UUIDManager", "uuid"]


class FlaxId:
    """A hashable identity, equal only to itself and to ids with the same number.

    A copy gets a number of its own, so that whatever it identifies counts as another object.

    Args:
        rawid: The number.

    Example:
        >>> import copy
        >>> a = uuid()
        >>> a == a, copy.copy(a) == a
        (True, False)
    """

    __slots__ = ("__weakref__", "id")

    def __init__(self, rawid: int) -> None:
        self.id = rawid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FlaxId) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"FlaxId({self.id})"

    def __copy__(self) -> FlaxId:
        return uuid()

    def __deepcopy__(self, memo: dict[int, Any]) -> FlaxId:
        return uuid()


class UUIDManager:
    """A source of identities that never repeat within a process."""

    def __init__(self) -> None:
        # One call of a C iterator cannot be interrupted by another thread.
        self._numbers = itertools.count(1)

    def __call__(self) -> FlaxId:
        """Return a new identity."""
        return FlaxId(next(self._numbers))


uuid = UUIDManager()
"""Return a new identity."""
