"""Settings that a layer takes either when it is constructed or when it is called."""

from typing import TypeVar

__all__ = ["merge_param"]

T = TypeVar("T")


def merge_param(name: str, a: T | None, b: T | None) -> T:
    """Return the one of two settings that is not None: a field, or an argument of the call.

    Args:
      name: what to call it in the error.
      a: the field.
      b: the argument.

    Raises:
      ValueError: if both or neither are given.
    """
    # Tests of other projects match these two messages word for word.
    if a is None and b is None:
        raise ValueError(f'Parameter "{name}" must be passed to the constructor or at call time.')
    if a is not None and b is not None:
        raise ValueError(
            f'Parameter "{name}" was passed to the constructor and at call time. Should be passed '
            "just once."
        )
    return a if a is not None else b  # type: ignore[return-value]
