"""Old names of functions."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["deprecated"]

F = TypeVar("F", bound=Callable[..., Any])


def deprecated(new_fn: F) -> F:
    """Make a function under an old name: it gives a DeprecationWarning and calls the new one.

    Args:
      new_fn: the function under its new name.

    Example:
        >>> def doubled(x):
        ...     return 2 * x
        >>> twice = deprecated(doubled)
    """

    @functools.wraps(new_fn)
    def old(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(
            f"This name is deprecated; call {new_fn.__qualname__} instead.",
            DeprecationWarning,
            stacklevel=2,
        )
        return new_fn(*args, **kwargs)

    old.__doc__ = f"Deprecated: use `{new_fn.__qualname__}`.\n\n{new_fn.__doc__ or ''}"
    wrapped: Any = old
    return wrapped
