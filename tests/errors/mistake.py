"""A mistake, and what its message has to say."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

KEY = jax.random.key(0)
X = jnp.ones((2, 3))
LONGEST = 420


class Mistake(NamedTuple):
    """One mistake.

    Args:
      program: makes it.
      error: the class of the error.
      says: words for what was wrong, where, what was expected and what to do.
      longest: how many characters message and notes may have together, without the link.
    """

    program: Callable[[], Any]
    error: type[Exception]
    says: tuple[str, ...]
    longest: int = LONGEST


def text_of(error: BaseException) -> str:
    """Return message and notes of an error as a traceback shows them, without those of JAX."""
    notes = [n for n in getattr(error, "__notes__", ()) if "JAX has removed" not in n]
    return "\n".join([str(error), *notes])
