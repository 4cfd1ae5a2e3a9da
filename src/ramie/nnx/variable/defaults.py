"""What new variables keep their values in, unless they are told: a switch for some code."""

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

from ramie.foundation.configurations import config

__all__ = ["VarDefaults", "VarDefaultsContext", "here", "var_defaults"]

F = TypeVar("F", bound=Callable[..., Any])


class VarDefaults(Mapping[str, bool]):
    """The defaults in force, as attributes and as a mapping.

    Args:
      hijax: whether new variables are of JAX's experimental high-level types.
      ref: whether new variables keep their value in an array reference.
    """

    __slots__ = ("hijax", "ref")

    def __init__(self, hijax: bool, ref: bool) -> None:
        self.hijax = hijax
        self.ref = ref

    def __getitem__(self, name: str) -> bool:
        if name not in VarDefaults.__slots__:
            raise KeyError(f"Variables have the defaults 'hijax' and 'ref', not {name!r}.")
        return bool(getattr(self, name))

    def __iter__(self) -> Iterator[str]:
        return iter(VarDefaults.__slots__)

    def __len__(self) -> int:
        return len(VarDefaults.__slots__)

    def __repr__(self) -> str:
        return f"VarDefaults(hijax={self.hijax}, ref={self.ref})"


class _Defaults(threading.local):
    """What a thread has set: None where the flags decide."""

    hijax: bool | None = None
    ref: bool | None = None


here = _Defaults()
"""What this thread has set."""


def _in_force() -> tuple[bool, bool]:
    """Return the two defaults in force, `hijax` and `ref`."""
    hijax, ref = here.hijax, here.ref
    return (
        config.flax_hijax_variable if hijax is None else hijax,
        config.flax_array_ref if ref is None else ref,
    )


class VarDefaultsContext:
    """Defaults that are in force from when it is made; as a context manager, it ends them.

    Args:
      hijax: the default, or None to leave it as it is.
      ref: the default, or None to leave it as it is.
    """

    def __init__(self, hijax: bool | None, ref: bool | None) -> None:
        self._own = hijax, ref
        self._outer = here.hijax, here.ref
        self._switch()

    def _switch(self) -> None:
        hijax, ref = self._own
        if hijax is not None:
            here.hijax = hijax
        if ref is not None:
            here.ref = ref

    def __enter__(self) -> None:
        self._switch()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        here.hijax, here.ref = self._outer

    def __call__(self, fn: F) -> F:
        """Set the defaults for each call of `fn`, and not now: the context as a decorator."""
        here.hijax, here.ref = self._outer
        own = self._own

        @functools.wraps(fn)
        def with_defaults(*args: Any, **kwargs: Any) -> Any:
            with VarDefaultsContext(*own):
                return fn(*args, **kwargs)

        wrapped: Any = with_defaults
        return wrapped


def var_defaults(
    *, hijax: bool | None = None, ref: bool | None = None
) -> VarDefaultsContext | VarDefaults:
    """Say what new variables keep their values in; without arguments, tell it.

    A call sets the defaults of this thread at once. Use the result in a ``with`` statement to have
    them set back at the end, or as a decorator.

    Args:
      hijax: whether new variables are of JAX's experimental high-level types.
      ref: whether new variables keep their value in an array reference.

    Returns:
      A context manager and decorator; without arguments, the defaults in force.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> with nnx.var_defaults(ref=True):
        ...     nnx.var_defaults(), nnx.Param(jnp.zeros(2)).ref
        (VarDefaults(hijax=False, ref=True), True)
    """
    if hijax is None and ref is None:
        return VarDefaults(*_in_force())
    return VarDefaultsContext(hijax, ref)
