"""Two classes of ``flax.core.lift`` that Ramie's own lifting has no use for.

They are there for code that imports them. Ramie counts random draws in `ramie.core.lift.crossing`.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from ramie.trees.nested import flatten_dict, unflatten_dict

__all__ = ["CountsHolder", "TransformContext"]


class CountsHolder:
    """Numbers in a nested dictionary, with sums and differences.

    Args:
      flat_d: the numbers by path.

    Example:
      >>> before, after = CountsHolder.make({"a": {"b": 1}}), CountsHolder.make({"a": {"b": 3}})
      >>> after.sub(before).unflat()
      {'a': {'b': 2}}
    """

    def __init__(self, flat_d: Mapping[tuple[Any, ...], Any]) -> None:
        self.flat_d = dict(flat_d)

    @classmethod
    def make(cls, d: Mapping[Any, Any]) -> "CountsHolder":
        """Flatten a nested dictionary."""
        return cls(flatten_dict(dict(d)))

    def _joined(self, other: "CountsHolder", sign: int) -> "CountsHolder":
        theirs = other.flat_d
        return CountsHolder({k: n + sign * theirs.get(k, 0) for k, n in self.flat_d.items()})

    def add(self, other: "CountsHolder") -> "CountsHolder":
        """Add the numbers that `other` has at the same paths."""
        return self._joined(other, 1)

    def sub(self, other: "CountsHolder") -> "CountsHolder":
        """Subtract the numbers that `other` has at the same paths."""
        return self._joined(other, -1)

    def unflat(self) -> dict[Any, Any]:
        """Return the numbers as a nested dictionary."""
        return unflatten_dict(self.flat_d)


@dataclasses.dataclass
class TransformContext(threading.local):
    """A stack of values for each thread.

    Attributes:
      stack: the values, the present one last.
    """

    stack: list[Any] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def push(self, a: Any) -> Iterator[None]:
        """Make `a` the present value within a `with` block."""
        self.stack.append(a)
        try:
            yield
        finally:
            self.stack.pop()

    def get(self) -> Any:
        """Return the present value.

        Raises:
          IndexError: if there is none.
        """
        if not self.stack:
            raise IndexError("This TransformContext holds no value: call it inside of push().")
        return self.stack[-1]
