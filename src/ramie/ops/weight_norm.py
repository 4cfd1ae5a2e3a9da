"""Normalisation of weights: by length, and by largest singular value."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.ops.dtypes import canonicalize_dtype
from ramie.ops.eager.dispatch import eager_compiled
from ramie.ops.eager.meshes import laid_out
from ramie.ops.moments import alike, as_array, canonical_axes, cast, expand, fitted
from ramie.typing import Array, Axes, Dtype

__all__ = ["spectral_normalize", "weight_normalize"]


def _unit_length(x: Array, axes: tuple[int, ...], epsilon: float | Array) -> Array:
    """Divide by the length over `axes`."""
    wide = jnp.promote_types(x.dtype, jnp.float32) if x.dtype.itemsize < 4 else x.dtype
    total = lax.reduce_sum(cast(lax.mul(x, x), wide), axes)
    total = cast(expand(total, x.ndim, axes), x.dtype)
    return lax.mul(x, lax.rsqrt(lax.add(total, fitted(epsilon, total))))


def _own_sources(*arrays: Array | None, **_: Any) -> Any:
    return [[(array, range(array.ndim))] for array in arrays if array is not None]


@laid_out(_own_sources)
@eager_compiled(static_argnames=("feature_axes", "epsilon", "dtype"))
def weight_normalize(
    weight: Array,
    scale: Array | None = None,
    *,
    feature_axes: Axes | None = -1,
    epsilon: float | Array = 1e-12,
    dtype: Dtype | None = None,
) -> Array:
    """Separate the direction of a weight from its length, and give it the length `scale`.

    Args:
      weight: the weight.
      scale: lengths, with the sizes of `feature_axes` as its shape; None for length one.
      feature_axes: axes along which lengths are separate; None for one length in all.
      epsilon: added to the squared length; a number or an array, also a traced one.
      dtype: dtype of the result; by default what the arrays promote to.

    Reference:
      Salimans, Kingma, "Weight Normalization".
    """
    weight = as_array(weight)
    kept = () if feature_axes is None else canonical_axes(weight.ndim, feature_axes)
    y = _unit_length(weight, tuple(a for a in range(weight.ndim) if a not in kept), epsilon)
    if scale is not None:
        lengths = [size if axis in kept else 1 for axis, size in enumerate(weight.shape)]
        y = lax.mul(*alike(y, lax.reshape(scale, lengths)))
    return cast(y, canonicalize_dtype(weight, scale, dtype=dtype))


@laid_out(_own_sources)
@eager_compiled(static_argnames=("n_steps", "epsilon", "dtype"))
def spectral_normalize(
    weight: Array,
    u: Array,
    *,
    n_steps: int = 1,
    epsilon: float | Array = 1e-12,
    dtype: Dtype | None = None,
) -> tuple[Array, Array, Array]:
    """Divide a weight by an estimate of its largest singular value.

    ``weight: [..., out]``, read as a matrix with `out` columns; ``u: [1, out]``.

    Args:
      weight: the weight, of rank two or more.
      u: estimate of the first right singular vector.
      n_steps: steps of power iteration.
      epsilon: added to squared lengths.
      dtype: dtype of the result; by default what the arrays promote to.

    Returns:
      The weight, the new `u`, and the estimated singular value.

    Reference:
      Miyato et al., "Spectral Normalization for Generative Adversarial Networks".
    """
    weight = as_array(weight)
    matrix = weight
    if weight.ndim != 2:
        matrix = lax.reshape(weight, (math.prod(weight.shape[:-1]), weight.shape[-1]))
    transposed = lax.transpose(matrix, (1, 0))

    def times(a: Array, b: Array) -> Array:
        common = jnp.promote_types(a.dtype, b.dtype)
        return lax.dot_general(a, b, (((1,), (0,)), ((), ())), preferred_element_type=common)

    v = None
    for _ in range(n_steps):
        v = _unit_length(times(u, transposed), (0, 1), epsilon)
        u = _unit_length(times(v, matrix), (0, 1), epsilon)
    if v is None:
        raise ValueError(f"n_steps={n_steps}: at least one step is needed.")
    u, v = lax.stop_gradient(u), lax.stop_gradient(v)
    sigma = lax.squeeze(times(times(v, matrix), lax.transpose(u, (1, 0))), (0, 1))
    nonzero = lax.ne(sigma, np.zeros((), sigma.dtype))
    divisor = lax.select(nonzero, sigma, lax.full_like(sigma, 1))
    y = lax.reshape(lax.div(*alike(matrix, divisor)), weight.shape)
    return cast(y, canonicalize_dtype(weight, u, sigma, dtype=dtype)), u, sigma
