"""Eight-bit floating point arithmetic: scaled quantisation, products, and how scales adapt.

A value is divided by a scale and rounded to fp8; the scale is chosen so that the largest magnitude
seen in recent steps, which a history of maxima remembers, just fits ("delayed scaling"). Scales
and histories change in every step, but layers are pure functions: so the functions here return
*the next scale and history as the gradients* of the present ones. A training loop puts them in
place of the old values instead of handing them to the optimizer (`OVERWRITE_WITH_GRADIENT`).

Names ending in ``_fwd`` and ``_bwd`` are the two halves of the custom gradients.

Reference:
  Micikevicius et al., "FP8 Formats for Deep Learning".
"""

import itertools
import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.ops.eager.meshes import laid_again, laid_out, made_whole, of_product
from ramie.typing import Array, Dtype

__all__ = [
    "OVERWRITE_WITH_GRADIENT",
    "compute_amax_history",
    "compute_scale",
    "dequantize",
    "dot_general_transpose_lhs",
    "dot_general_transpose_rhs",
    "dot_general_with_precision",
    "dot_general_with_precision_jvp",
    "fp8_scaled_dot_general",
    "fp8_scaled_einsum",
    "get_fp8_max",
    "in_q",
    "in_q_bwd",
    "in_q_fwd",
    "in_qdq",
    "in_qdq_bwd",
    "in_qdq_fwd",
    "out_dq",
    "out_dq_bwd",
    "out_dq_fwd",
    "out_qdq",
    "out_qdq_bwd",
    "out_qdq_fwd",
    "qdq",
    "quantize",
    "quantize_dequantize_update",
    "quantized_dot",
    "quantized_dot_bwd",
    "quantized_dot_fwd",
    "update_fp8_meta",
]

OVERWRITE_WITH_GRADIENT = "_overwrite_with_gradient"
"""The collection of variables whose "gradients" are their next values."""

DimensionNumbers = Any
Meta = tuple[Array, Array]
"""A scale and a history of maxima."""

_FORMATS = tuple(
    np.dtype(t)
    for t in (
        jnp.float8_e4m3fn,
        jnp.float8_e5m2,
        jnp.float8_e4m3fnuz,
        jnp.float8_e5m2fnuz,
    )
)
# Products of gradients keep all digits: they are rounded to fp8 only where that was decided.
_FAST, _FULL = lax.Precision.DEFAULT, lax.Precision.HIGHEST


def get_fp8_max(fp8_dtype: Dtype, out_dtype: Dtype) -> Any:
    """Return the largest finite number of an fp8 format, as a scalar of another dtype.

    Raises:
      ValueError: if the format is none of e4m3fn, e5m2, e4m3fnuz and e5m2fnuz.
    """
    if np.dtype(fp8_dtype) not in _FORMATS:
        raise ValueError(
            f"{np.dtype(fp8_dtype).name} is no fp8 format that values are scaled to; these are: "
            f"{', '.join(d.name for d in _FORMATS)}."
        )
    return jnp.finfo(fp8_dtype).max.astype(out_dtype)


def quantize(x: Array, q_dtype: Dtype, scale: Array, compute_dtype: Dtype) -> Array:
    """Divide by a scale and round to fp8; what is too large becomes the largest finite number.

    Args:
      x: the array.
      q_dtype: the fp8 format.
      scale: a scalar, or ``[1]``.
      compute_dtype: the dtype in which to divide.
    """
    limit = get_fp8_max(q_dtype, compute_dtype)
    x = jnp.asarray(x, compute_dtype)
    return jnp.clip(x / _like(scale, x.dtype, x), -limit, limit).astype(q_dtype)


def _like(scale: Array, dtype: Dtype, x: Array) -> Array:
    """Return a scale with the axes of `x`, so that no rank has to be promoted."""
    return jnp.broadcast_to(jnp.asarray(scale, dtype), np.shape(x))


def dequantize(x: Array, dq_dtype: Dtype, scale: Array) -> Array:
    """Take `quantize` back: multiply with the scale in another dtype."""
    x = jnp.asarray(x, dq_dtype)
    return x * _like(scale, x.dtype, x)


def qdq(x: Array, q_dtype: Dtype, scale: Array, compute_dtype: Dtype) -> Array:
    """Quantise and take it back, so that the result is `x` up to the precision of fp8."""
    return dequantize(quantize(x, q_dtype, scale, compute_dtype), jnp.asarray(x).dtype, scale)


def compute_scale(amax: Array, scale: Array, fp8_max: Any, margin: int = 0) -> Array:
    """Return the scale with which the largest magnitude just fits.

    Args:
      amax: the largest magnitude. If it is zero or not finite, the scale stays.
      scale: the present scale.
      fp8_max: the largest number of the fp8 format.
      margin: how many powers of two to leave free.
    """
    # The reciprocals are those of Flax: they decide the last bit.
    stays = 1.0 / scale
    fits = fp8_max / amax
    if margin:
        fits = fits / (2**margin)
    usable = jnp.logical_and(amax > 0.0, jnp.isfinite(amax))
    return 1.0 / jnp.where(usable, fits, stays)


def compute_amax_history(x: Array, amax_history: Array) -> Array:
    """Turn the history by one place and put the largest magnitude of `x` first.

    The entry that falls out is the second one, which is the oldest once the history is full.
    """
    newest = jnp.max(jnp.abs(x)).astype(amax_history.dtype)[None]
    if amax_history.shape[0] < 2:
        return newest
    # After a turn the second entry comes first, and it is the one that is overwritten.
    return jnp.concatenate([newest, amax_history[2:], amax_history[:1]])


def _plain(meta: Array) -> Array:
    """Return a scale or history as numbers, if its dtype is one that accumulates by maximum."""
    if jnp.issubdtype(meta.dtype, jax.dtypes.extended):
        return lax.convert_element_type(meta, jnp.float32)
    return meta


def _as_was(new: Array, old: Array) -> Array:
    return lax.convert_element_type(new, old.dtype) if new.dtype != old.dtype else new


def update_fp8_meta(x: Array, q_dtype: Dtype, scale: Array, amax_history: Array) -> Meta:
    """Return the next scale and history: the scale from the old history, the history from `x`."""
    plain_scale, plain_history = _plain(scale), made_whole(_plain(amax_history))
    limit = get_fp8_max(q_dtype, jnp.float32)
    new_scale = compute_scale(jnp.max(plain_history, axis=0), plain_scale, limit)
    new_history = laid_again(compute_amax_history(x, plain_history), amax_history)
    return _as_was(new_scale, scale), _as_was(new_history, amax_history)


def quantize_dequantize_update(
    x: Array, q_dtype: Dtype, scale: Array, amax_history: Array, compute_dtype: Dtype
) -> tuple[Array, Array, Array]:
    """Update scale and history, and round `x` to fp8 with the new scale.

    Returns:
      The rounded array in its own dtype, the new scale, and the new history.
    """
    new_scale, new_history = update_fp8_meta(x, q_dtype, scale, amax_history)
    return qdq(x, q_dtype, _plain(new_scale), compute_dtype), new_scale, new_history


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def in_qdq(
    compute_dtype: Dtype, q_dtype: Dtype, inp: Array, scale: Array, amax_history: Array
) -> Array:
    """Round an input to fp8; gradients pass unchanged, scale and history get their next values.

    Args:
      compute_dtype: the dtype in which to scale.
      q_dtype: the fp8 format.
      inp: the input.
      scale: its scale.
      amax_history: the history of its maxima.
    """
    return quantize_dequantize_update(inp, q_dtype, scale, amax_history, compute_dtype)[0]


def in_qdq_fwd(
    compute_dtype: Dtype, q_dtype: Dtype, inp: Array, scale: Array, amax_history: Array
) -> tuple[Array, Meta]:
    """Forward half of `in_qdq`."""
    rounded, *meta = quantize_dequantize_update(inp, q_dtype, scale, amax_history, compute_dtype)
    return rounded, (meta[0], meta[1])


def in_qdq_bwd(
    compute_dtype: Dtype, q_dtype: Dtype, res: Meta, g: Array
) -> tuple[Array, Array, Array]:
    """Backward half of `in_qdq`."""
    return g, *res


in_qdq.defvjp(in_qdq_fwd, in_qdq_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def out_qdq(
    compute_dtype: Dtype, q_dtype: Dtype, out: Array, scale: Array, amax_history: Array
) -> Array:
    """Return the output as it is, and round the gradient that comes back for it to fp8.

    Args:
      compute_dtype: the dtype in which to scale.
      q_dtype: the fp8 format.
      out: the output.
      scale: the scale of its gradient.
      amax_history: the history of maxima of its gradient.
    """
    return out


def out_qdq_fwd(
    compute_dtype: Dtype, q_dtype: Dtype, out: Array, scale: Array, amax_history: Array
) -> tuple[Array, Meta]:
    """Forward half of `out_qdq`."""
    return out, (scale, amax_history)


def out_qdq_bwd(
    compute_dtype: Dtype, q_dtype: Dtype, res: Meta, g: Array
) -> tuple[Array, Array, Array]:
    """Backward half of `out_qdq`."""
    return quantize_dequantize_update(g, q_dtype, *res, compute_dtype)


out_qdq.defvjp(out_qdq_fwd, out_qdq_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def in_q(
    compute_dtype: Dtype, q_dtype: Dtype, inp: Array, scale: Array, amax_history: Array
) -> tuple[Array, Array]:
    """Quantise an input to fp8 and leave it there, for a product on fp8 hardware.

    Returns:
      The fp8 array, through which no gradient passes, and its scale.
    """
    return in_q_fwd(compute_dtype, q_dtype, inp, scale, amax_history)[0]


def in_q_fwd(
    compute_dtype: Dtype, q_dtype: Dtype, inp: Array, scale: Array, amax_history: Array
) -> tuple[tuple[Array, Array], Meta]:
    """Forward half of `in_q`."""
    new_scale, new_history = update_fp8_meta(inp, q_dtype, scale, amax_history)
    quantized = quantize(inp, q_dtype, _plain(new_scale), compute_dtype)
    return (quantized, new_scale), (new_scale, new_history)


def in_q_bwd(compute_dtype: Dtype, q_dtype: Dtype, res: Meta, _: Any) -> tuple[None, Array, Array]:
    """Backward half of `in_q`."""
    return None, *res


in_q.defvjp(in_q_fwd, in_q_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def out_dq(dq_type: Dtype, lhs_scale: Array, rhs_scale: Array, out: Array) -> Array:
    """Multiply a product of quantised arrays with their scales; the gradient passes unscaled."""
    return dequantize(out, dq_type, _plain(lhs_scale) * _plain(rhs_scale))


def out_dq_fwd(
    dq_type: Dtype, lhs_scale: Array, rhs_scale: Array, out: Array
) -> tuple[Array, None]:
    """Forward half of `out_dq`."""
    return dequantize(out, dq_type, _plain(lhs_scale) * _plain(rhs_scale)), None


def out_dq_bwd(dq_type: Dtype, _: None, g: Array) -> tuple[None, None, Array]:
    """Backward half of `out_dq`."""
    return None, None, g


out_dq.defvjp(out_dq_fwd, out_dq_bwd)


@laid_out(of_product)
def _product(lhs: Array, rhs: Array, *, dimension_numbers: DimensionNumbers, **how: Any) -> Array:
    return lax.dot_general(lhs, rhs, dimension_numbers, **how)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def dot_general_with_precision(
    lhs: Array,
    rhs: Array,
    dimension_numbers: DimensionNumbers,
    precision: Any = None,
    preferred_element_type: Dtype | None = None,
) -> Array:
    """Multiply as `jax.lax.dot_general`: fast forwards, at highest precision in derivatives.

    XLA recognises the pattern of rounded factors and makes it one product on fp8 hardware.

    Args:
      lhs: the first factor.
      rhs: the second factor.
      dimension_numbers: see `jax.lax.dot_general`.
      precision: of no effect.
      preferred_element_type: of no effect.
    """
    return _product(lhs, rhs, dimension_numbers=dimension_numbers, precision=_FAST)


@dot_general_with_precision.defjvp
def dot_general_with_precision_jvp(
    dimension_numbers: DimensionNumbers,
    precision: Any,
    preferred_element_type: Dtype | None,
    primals: tuple[Array, Array],
    tangents: tuple[Array, Array],
) -> tuple[Array, Array]:
    """Forward derivative of `dot_general_with_precision`."""
    (lhs, rhs), (lhs_dot, rhs_dot) = primals, tangents
    product = partial(_product, dimension_numbers=dimension_numbers)
    out = product(lhs, rhs, precision=_FAST)
    from_lhs = product(lhs_dot, rhs, precision=_FULL)
    return out, from_lhs + product(lhs, rhs_dot, precision=_FULL)


def _kept_axes(ndim: int, *used: tuple[int, ...]) -> tuple[int, ...]:
    taken = set(itertools.chain(*used))
    return tuple(a for a in range(ndim) if a not in taken)


def dot_general_transpose_lhs(
    g: Array,
    x: Array,
    y: Array,
    *,
    dimension_numbers: DimensionNumbers,
    precision: Any,
    preferred_element_type: Dtype | None,
    swap_ans: bool = False,
) -> Array:
    """Return the gradient for the first factor of a product.

    Args:
      g: the gradient for the product.
      x: the first factor; only its axes, and how they are laid out, are looked at.
      y: the second factor.
      dimension_numbers: those of the product.
      precision: of this product.
      preferred_element_type: of this product.
      swap_ans: whether the axes in `g` that came from `y` lie before those from `x`.

    Returns:
      An array with the axes of `x`.
    """
    (x_contract, y_contract), (x_batch, y_batch) = dimension_numbers
    x_kept = _kept_axes(x.ndim, tuple(x_contract), tuple(x_batch))
    y_kept = _kept_axes(y.ndim, tuple(y_contract), tuple(y_batch))
    batched = len(x_batch)
    start = batched if swap_ans else batched + len(x_kept)
    g_axes = tuple(range(start, start + len(y_kept)))
    dims = ((g_axes, y_kept), (tuple(range(batched)), tuple(y_batch)))
    how = {"precision": precision, "preferred_element_type": preferred_element_type}
    product = _product(g, y, dimension_numbers=dims, **how)
    # The product has the axes: batch, kept of x, and those of y that were contracted, in y's order.
    contracted = [axis for _, axis in sorted(zip(y_contract, x_contract, strict=True))]
    order = [*x_batch, *x_kept, *contracted]
    transposed = lax.transpose(product, tuple(int(a) for a in np.argsort(order)))
    return laid_again(transposed, x)


def dot_general_transpose_rhs(
    g: Array,
    x: Array,
    y: Array,
    *,
    dimension_numbers: DimensionNumbers,
    precision: Any,
    preferred_element_type: Dtype | None,
) -> Array:
    """Return the gradient for the second factor of a product; see `dot_general_transpose_lhs`."""
    (x_contract, y_contract), (x_batch, y_batch) = dimension_numbers
    return dot_general_transpose_lhs(
        g,
        y,
        x,
        dimension_numbers=((y_contract, x_contract), (y_batch, x_batch)),
        precision=precision,
        preferred_element_type=preferred_element_type,
        swap_ans=True,
    )


@partial(jax.custom_vjp, nondiff_argnums=(8, 9))
def quantized_dot(
    lhs: Array,
    q_lhs: Array,
    lhs_scale: Array,
    rhs: Array,
    q_rhs: Array,
    rhs_scale: Array,
    out_grad_scale: Array,
    out_grad_amax_history: Array,
    dimension_numbers: DimensionNumbers,
    preferred_element_type: Dtype | None = None,
) -> Array:
    """Multiply fp8 arrays; the gradient that comes back is rounded to fp8 as well.

    Args:
      lhs: the first factor before quantisation, to which the gradient goes.
      q_lhs: the first factor in fp8.
      lhs_scale: its scale.
      rhs: the second factor before quantisation.
      q_rhs: the second factor in fp8.
      rhs_scale: its scale.
      out_grad_scale: the scale of the gradient.
      out_grad_amax_history: the history of maxima of the gradient.
      dimension_numbers: see `jax.lax.dot_general`.
      preferred_element_type: the dtype of the product and of gradients.

    Returns:
      The product of `q_lhs` and `q_rhs`, still to be multiplied with both scales: see `out_dq`.
    """
    return _product(
        q_lhs,
        q_rhs,
        dimension_numbers=dimension_numbers,
        precision=_FAST,
        preferred_element_type=preferred_element_type,
    )


def quantized_dot_fwd(
    lhs: Array,
    q_lhs: Array,
    lhs_scale: Array,
    rhs: Array,
    q_rhs: Array,
    rhs_scale: Array,
    out_grad_scale: Array,
    out_grad_amax_history: Array,
    dimension_numbers: DimensionNumbers,
    preferred_element_type: Dtype | None,
) -> tuple[Array, tuple[Array, ...]]:
    """Forward half of `quantized_dot`."""
    out = _product(
        q_lhs,
        q_rhs,
        dimension_numbers=dimension_numbers,
        precision=_FAST,
        preferred_element_type=preferred_element_type,
    )
    grad_meta = (out_grad_scale, out_grad_amax_history)
    return out, (lhs, q_lhs, lhs_scale, rhs, q_rhs, rhs_scale, *grad_meta)


def quantized_dot_bwd(
    dimension_numbers: DimensionNumbers,
    preferred_element_type: Dtype | None,
    res: tuple[Array, ...],
    g: Array,
) -> tuple[Array | None, ...]:
    """Backward half of `quantized_dot`."""
    lhs, q_lhs, lhs_scale, rhs, q_rhs, rhs_scale, scale, amax_history = res
    new_scale, new_history = update_fp8_meta(g, jnp.float8_e5m2, scale, amax_history)
    grad_scale = _plain(new_scale)
    wide = jnp.float32 if preferred_element_type is None else preferred_element_type
    q_g = quantize(g, jnp.float8_e5m2, grad_scale, wide)
    settings: dict[str, Any] = {
        "dimension_numbers": dimension_numbers,
        "precision": _FULL,
        "preferred_element_type": preferred_element_type,
    }
    grad_lhs = dot_general_transpose_lhs(q_g, lhs, q_rhs, **settings)
    grad_lhs = dequantize(grad_lhs, wide, _plain(rhs_scale) * grad_scale)
    grad_rhs = dot_general_transpose_rhs(q_g, q_lhs, rhs, **settings)
    grad_rhs = dequantize(grad_rhs, wide, _plain(lhs_scale) * grad_scale)
    return grad_lhs, None, None, grad_rhs, None, None, new_scale, new_history


quantized_dot.defvjp(quantized_dot_fwd, quantized_dot_bwd)


def _all_given(meta: tuple[Array | None, ...]) -> list[Array]:
    given = [value for value in meta if value is not None]
    if len(given) < len(meta):
        raise ValueError(
            "fp8_scaled_dot_general takes a scale and a history for each of lhs, rhs and grad: "
            f"{len(meta) - len(given)} of these six arrays are missing."
        )
    return given


def fp8_scaled_dot_general(
    lhs: Array,
    rhs: Array,
    dimension_numbers: DimensionNumbers,
    precision: Any = None,
    preferred_element_type: Dtype | None = None,
    *,
    lhs_scale: Array | None = None,
    rhs_scale: Array | None = None,
    grad_scale: Array | None = None,
    lhs_amax_history: Array | None = None,
    rhs_amax_history: Array | None = None,
    grad_amax_history: Array | None = None,
    quantize_compute_type: Dtype = jnp.float32,
) -> Array:
    """Multiply in fp8: both factors in e4m3, the gradient in e5m2.

    Args:
      lhs: the first factor.
      rhs: the second factor.
      dimension_numbers: see `jax.lax.dot_general`.
      precision: of no effect; given one, this warns.
      preferred_element_type: the dtype of the result. Without it, the result is float32, but the
        product is accumulated in fp8, which is rarely wanted.
      lhs_scale: the scale of the first factor.
      rhs_scale: the scale of the second factor.
      grad_scale: the scale of the gradient.
      lhs_amax_history: the history of maxima of the first factor.
      rhs_amax_history: the history of maxima of the second factor.
      grad_amax_history: the history of maxima of the gradient.
      quantize_compute_type: the dtype in which factors are scaled.

    Returns:
      The product. The gradients of scales and histories are their next values.

    Raises:
      ValueError: if a scale or a history is missing. They have defaults only so that functions made
        with `functools.partial` can be called like `jax.lax.dot_general`.
    """
    meta = (lhs_scale, lhs_amax_history, rhs_scale, rhs_amax_history, grad_scale, grad_amax_history)
    lhs_scale, lhs_amax_history, rhs_scale, rhs_amax_history, *grad_meta = _all_given(meta)
    if precision is not None:
        warnings.warn(
            "The function fp8_scaled_dot_general will set the precision itself: the argument "
            f"precision={precision} has no effect.",
            stacklevel=2,
        )
    e4m3 = jnp.float8_e4m3fn
    q_lhs, new_lhs = in_q(quantize_compute_type, e4m3, lhs, lhs_scale, lhs_amax_history)
    q_rhs, new_rhs = in_q(quantize_compute_type, e4m3, rhs, rhs_scale, rhs_amax_history)
    out = quantized_dot(
        lhs,
        q_lhs,
        new_lhs,
        rhs,
        q_rhs,
        new_rhs,
        *grad_meta,
        dimension_numbers,
        preferred_element_type,
    )
    result_type = jnp.float32 if preferred_element_type is None else preferred_element_type
    return out_dq(result_type, new_lhs, new_rhs, out)


def fp8_scaled_einsum(
    equation: str,
    lhs: Array,
    rhs: Array,
    *,
    precision: Any,
    preferred_element_type: Any,
    **meta: Any,
) -> Array:
    """Evaluate an einsum with `fp8_scaled_dot_general`, which gets `meta`, as its product."""
    result: Array = jnp.einsum(
        equation,
        lhs,
        rhs,
        precision=precision,
        preferred_element_type=preferred_element_type,
        _dot_general=partial(fp8_scaled_dot_general, **meta),
    )
    return result
