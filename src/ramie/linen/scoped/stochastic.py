"""Dropout on bare scopes."""

from ramie.core.scope.scope import Scope
from ramie.ops import stochastic as _stochastic
from ramie.typing import Array, PRNGKey

__all__ = ["dropout"]


def dropout(
    scope: Scope,
    inputs: Array,
    rate: float,
    deterministic: bool = False,
    rng: PRNGKey | None = None,
) -> Array:
    """Set entries to zero at random, and scale the others so that the expectation stays.

    Args:
      scope: its stream ``dropout`` gives the key.
      inputs: of any shape.
      rate: probability of an entry to become zero.
      deterministic: change nothing.
      rng: a key to use instead of one from the scope.

    Raises:
      ValueError: if `rate` is no probability.
      InvalidRngError: if a key is needed and the scope has none.

    Differs from Flax: integers are taken, as floats, and a rate outside of 0 to 1 is refused.
    """
    if deterministic or rate == 0.0:
        return inputs
    key = scope.make_rng("dropout") if rng is None else rng
    return _stochastic.dropout(inputs, key, rate)
