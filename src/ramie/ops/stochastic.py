"""Dropout."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ramie.ops.eager.dispatch import eager_compiled
from ramie.ops.eager.meshes import laid_out
from ramie.ops.eager.proofs import numbers
from ramie.ops.moments import as_array, canonical_axes, fitted
from ramie.typing import Array, PRNGKey

__all__ = ["check_rate", "dropout", "keep_mask", "known"]


def keep_mask(
    key: PRNGKey, rate: float | Array, shape: Sequence[int], broadcast_dims: Sequence[int] = ()
) -> Array:
    """Draw which entries of an array of `shape` stay.

    Args:
      key: random key.
      rate: probability to go.
      shape: shape of the array.
      broadcast_dims: axes along which one draw serves all entries.

    Returns:
      Booleans, of size one along `broadcast_dims`.
    """
    shared = canonical_axes(len(shape), tuple(broadcast_dims)) if broadcast_dims else ()
    drawn = tuple(1 if axis in shared else size for axis, size in enumerate(shape))
    return jax.random.bernoulli(key, p=1.0 - rate, shape=drawn)


def _masked_sample(dtype: Any) -> Any:
    return (numbers((4, 6), dtype), numbers((4, 1), bool)), {"keep_probability": 0.7}


@laid_out()
@eager_compiled(static_argnames=("keep_probability",), sample=_masked_sample)
def _masked(x: Array, keep: Array, *, keep_probability: Any) -> Array:
    if keep.shape != x.shape:
        keep = lax.broadcast_in_dim(keep, x.shape, tuple(range(x.ndim)))
    sharding = jax.typeof(x).sharding
    if sharding.mesh.explicit_axes:  # there, all three arrays have to be laid out alike
        keep = jax.sharding.reshard(keep, sharding)
    scaled = lax.div(x, fitted(keep_probability, x))
    return lax.select(keep, scaled, lax.full_like(x, 0))


def dropout(
    x: Array, key: PRNGKey | None, rate: float | Array, broadcast_dims: Sequence[int] = ()
) -> Array:
    """Set entries to zero at random, and scale the others so that the expectation stays.

    Args:
      x: the input, of any shape.
      key: random key; not needed at rate 0 or 1.
      rate: probability of an entry to become zero, between 0 and 1. It may be an array. A traced
        one is not checked, and always needs a key.
      broadcast_dims: axes along which entries share their fate.

    Returns:
      An array like `x`.

    Raises:
      ValueError: if `rate` is no probability, or a key is needed and missing.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> y = dropout(jnp.ones(8), jax.random.key(0), rate=0.5)
      >>> sorted(set(y.tolist())) == [0.0, 2.0]
      True

    Reference:
      Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting".
    """
    rate = check_rate(rate)
    x = as_array(x)
    if known(rate, 0.0):
        return x
    if known(rate, 1.0):
        # Division by a keep probability of zero would make gradients NaN.
        return lax.full_like(x, 0)
    if key is None:
        raise ValueError(f"Dropout at rate {rate} needs a random key.")
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        x = lax.convert_element_type(x, jnp.promote_types(x.dtype, jnp.float32))
    keep = 1.0 - rate
    if isinstance(rate, jax.core.Tracer):
        keep = jnp.where(keep > 0, keep, 1.0)  # nothing is kept at rate 1
    return _masked(x, keep_mask(key, rate, x.shape, broadcast_dims), keep_probability=keep)


def known(rate: Any, number: float) -> bool:
    """Tell whether a rate is known to be some number, which a traced one is not."""
    return not isinstance(rate, jax.core.Tracer) and bool(rate == number)


def check_rate(rate: Any) -> Any:
    """Return `rate` as a float, or raise `ValueError` if it is no probability.

    A traced rate is returned as it is.
    """
    if isinstance(rate, jax.core.Tracer):
        return rate
    value = float(rate)
    if not 0.0 <= value <= 1.0:
        raise ValueError(
            f"dropout_rate must be in the range [0, 1], got {rate}: it is the probability of an "
            "entry to become zero."
        )
    return value
