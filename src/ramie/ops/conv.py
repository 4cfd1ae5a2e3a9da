"""Convolutions over channels-last arrays: plain, transposed, and with unshared weights.

An input is ``[*batch, *spatial, channels]`` with any number of batch axes, also none. As many
axes are spatial as the kernel has. As in `ramie.ops.linear`, arrays share a dtype already.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.ops.eager.dispatch import eager_compiled
from ramie.ops.eager.meshes import GATHERED, laid_out, on_several_axes
from ramie.ops.eager.partitioned import grouped_conv
from ramie.ops.eager.proofs import numbers
from ramie.ops.linear import add_bias
from ramie.typing import (
    Array,
    ConvGeneralDilatedT,
    Dtype,
    LaxPadding,
    PaddingLike,
    PrecisionLike,
    Shape,
)

__all__ = [
    "canonicalize_padding",
    "conv",
    "conv_dimension_numbers",
    "conv_local",
    "conv_transpose",
    "local_output_shape",
    "masked_kernel",
    "per_axis",
]

Pairs = tuple[tuple[int, int], ...]

# The dtypes for which a convolution with its padding and bias was shown to keep every bit when it
# is compiled as one program (tests/unit/ops/eager/test_compiled_bits.py).
_PROVEN = frozenset(np.dtype(t) for t in ("float32",))


def per_axis(what: str, value: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Return a setting per spatial axis: an integer holds for all of them, None means 1.

    Raises:
      ValueError: if it is a sequence of another length; `what` is what to call it then.
    """
    if value is None:
        return (1,) * rank
    if not isinstance(value, Iterable):
        return (value,) * rank
    values = tuple(value)
    if len(values) != rank:
        raise ValueError(
            f"{what}={values} has {len(values)} entries, but the convolution has {rank} spatial "
            "axes: give one integer for all or one per axis."
        )
    return values


def canonicalize_padding(padding: PaddingLike, rank: int) -> LaxPadding:
    """Bring padding to the form that `jax.lax` takes.

    Args:
      padding: the name of a mode; one width for both sides of every axis; or for each axis a
        width or a (low, high) pair.
      rank: the number of spatial axes.

    Returns:
      The name as it is, or a list of a (low, high) pair per axis.

    Raises:
      ValueError: if it is anything else.

    Example:
      >>> canonicalize_padding([1, (2, 3)], 2)
      [(1, 1), (2, 3)]
    """
    if isinstance(padding, str):
        return padding
    entries = (padding,) * rank if isinstance(padding, int) else padding
    try:
        pairs = [
            (low, high) for low, high in ((p, p) if isinstance(p, int) else p for p in entries)
        ]
    except (TypeError, ValueError):  # something that is no sequence, or not of two
        pairs = []
    if len(pairs) != rank:
        raise ValueError(
            f"padding={padding!r} does not fit {rank} spatial axes: give the name of a mode, an "
            f"integer, or a sequence with {rank} entries, each an integer or a (low, high) pair."
        )
    return pairs


def conv_dimension_numbers(shape: Shape) -> lax.ConvDimensionNumbers:
    """Say which axes are which for an input of `shape`, channels last, and its kernel and result.

    The kernel is ``[*window, in, out]``.
    """
    ndim = len(shape)
    spatial = tuple(range(1, ndim - 1))
    data = (0, ndim - 1, *spatial)
    return lax.ConvDimensionNumbers(data, (ndim - 1, ndim - 2, *range(ndim - 2)), data)


def masked_kernel(kernel: Array, mask: Array | None) -> Array:
    """Multiply a kernel with its mask, if there is one.

    Raises:
      ValueError: if they do not have the same shape.
    """
    if mask is None:
        return kernel
    if np.shape(mask) != np.shape(kernel):
        raise ValueError(
            "Mask needs to have the same shape as weights. Shapes are: "
            f"{np.shape(mask)}, {np.shape(kernel)}."
        )
    return jnp.multiply(kernel, mask)


def _one_batch_axis(x: Array, rank: int) -> tuple[Array, tuple[int, ...]]:
    """Return `x` with exactly one batch axis, and the batch axes it had."""
    leading = x.ndim - rank - 1
    if leading < 0:
        raise ValueError(
            f"an input of shape {tuple(x.shape)} has too few axes for a convolution over {rank} "
            "spatial axes: it needs them and an axis of channels, and any batch axes before."
        )
    batch = x.shape[:leading]
    if leading == 1:
        return x, batch
    return lax.reshape(x, (math.prod(batch), *x.shape[leading:])), batch


def _with_batch_axes(y: Array, batch: tuple[int, ...]) -> Array:
    return y if len(batch) == 1 else lax.reshape(y, (*batch, *y.shape[1:]))


def _pad_input(
    x: Array, padding: LaxPadding, window: Sequence[int], dilation: Sequence[int]
) -> tuple[Array, LaxPadding]:
    """Carry out the padding modes that `jax.lax` does not know; return what is left for it."""
    if not isinstance(padding, str) or padding not in ("CIRCULAR", "REFLECT", "CAUSAL"):
        return x, padding
    reach = [(k - 1) * d for k, d in zip(window, dilation, strict=True)]
    if padding == "CAUSAL":
        if len(window) != 1:
            raise ValueError(
                f"padding='CAUSAL' needs one spatial axis, the time; the window {tuple(window)} "
                f"has {len(window)}."
            )
        zero = lax.full((), 0, x.dtype)
        return lax.pad(x, zero, ((0, 0, 0), (reach[0], 0, 0), (0, 0, 0))), "VALID"
    widths = [(0, 0), *((r // 2, r - r // 2) for r in reach), (0, 0)]
    mode = "wrap" if padding == "CIRCULAR" else "reflect"
    return jnp.pad(x, widths, mode=mode), "VALID"


def _hashable(padding: LaxPadding) -> str | Pairs:
    return padding if isinstance(padding, str) else tuple((int(a), int(b)) for a, b in padding)


def _conv_keeps_bits(x: Array, kernel: Array, bias: Array | None, **_: Any) -> bool:
    # A window of one element on one channel is a plain multiplication; see ops.linear.
    return kernel.dtype in _PROVEN and (bias is None or math.prod(kernel.shape[:-1]) > 1)


def _convolve(
    x: Array,
    kernel: Array,
    bias: Array | None,
    *,
    strides: tuple[int, ...],
    padding: str | Pairs,
    input_dilation: tuple[int, ...],
    kernel_dilation: tuple[int, ...],
    feature_group_count: int,
    precision: PrecisionLike,
    conv_general_dilated: ConvGeneralDilatedT | None = None,
    out_sharding: Any = None,
) -> Array:
    convolve: Any = (
        lax.conv_general_dilated if conv_general_dilated is None else conv_general_dilated
    )
    window = kernel.shape[:-2]
    x, batch = _one_batch_axis(x, len(window))
    x, rest = _pad_input(x, padding, window, kernel_dilation)
    options = {} if out_sharding is None else {"out_sharding": out_sharding}
    if feature_group_count > 1 and conv_general_dilated is None and on_several_axes(x, kernel):
        y = grouped_conv(
            x,
            kernel,
            strides,
            rest,
            input_dilation,
            kernel_dilation,
            feature_group_count,
            precision,
        )
    else:
        y = convolve(
            x,
            kernel,
            strides,
            rest,
            lhs_dilation=input_dilation,
            rhs_dilation=kernel_dilation,
            dimension_numbers=conv_dimension_numbers(x.shape),
            feature_group_count=feature_group_count,
            precision=precision,
            **options,
        )
    if bias is not None:
        y = add_bias(y, bias, (1,) * (y.ndim - bias.ndim) + bias.shape)
    return _with_batch_axes(y, batch)


_SETTINGS = ("strides", "padding", "input_dilation", "kernel_dilation", "precision")

_PLAIN_SETTINGS: dict[str, Any] = {
    "strides": (1,),
    "padding": "CIRCULAR",
    "kernel_dilation": (1,),
    "precision": None,
}


def _conv_sample(dtype: Any) -> Any:
    arrays = numbers((2, 6, 3), dtype), numbers((3, 3, 4), dtype, 50), numbers((4,), dtype, 90)
    return arrays, {**_PLAIN_SETTINGS, "input_dilation": (1,), "feature_group_count": 1}


_conv = eager_compiled(
    static_argnames=(*_SETTINGS, "feature_group_count"),
    sample=_conv_sample,
    proven=_conv_keeps_bits,
)(_convolve)


def _conv_sources(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    transpose_kernel: bool = False,
    **_: Any,
) -> Any:
    last = x.ndim - 1
    # XLA gives a wrong gradient for a kernel whose window is divided.
    window = [GATHERED] * (kernel.ndim - 2)
    channels = (last, None) if transpose_kernel else (None, last)
    return [[(x, (*range(last), None)), (kernel, (*window, *channels)), (bias, (last,))]]


@laid_out(_conv_sources)
def conv(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    strides: int | Sequence[int] | None = None,
    padding: PaddingLike = "SAME",
    input_dilation: int | Sequence[int] | None = None,
    kernel_dilation: int | Sequence[int] | None = None,
    feature_group_count: int = 1,
    precision: PrecisionLike = None,
    conv_general_dilated: ConvGeneralDilatedT | None = None,
    out_sharding: Any = None,
) -> Array:
    """Convolve: slide a window over the spatial axes and multiply it with the kernel.

    Args:
      x: ``[*batch, *spatial, in]``.
      kernel: ``[*window, in // groups, out]``.
      bias: ``[out]`` or None.
      strides: steps between windows, per spatial axis.
      padding: "SAME", "VALID" (and what else `jax.lax` knows), "CIRCULAR" (the input is
        periodic), "REFLECT" (it is mirrored at its borders), "CAUSAL" (one spatial axis, of which
        the result sees nothing later), or widths; see `canonicalize_padding`.
      input_dilation: distances between the elements of the input; zeros go in between.
      kernel_dilation: distances between the elements of the window.
      feature_group_count: into how many groups the channels are split, each convolved by itself.
      precision: of the products; see `jax.lax.Precision`.
      conv_general_dilated: a function to use in place of `jax.lax.conv_general_dilated`.
      out_sharding: how the result is laid out over devices; by default as `laid_out` says.

    Returns:
      ``[*batch, *spatial, out]``, the spatial sizes following from strides and padding.
    """
    rank = kernel.ndim - 2
    settings: dict[str, Any] = {
        "strides": per_axis("strides", strides, rank),
        "padding": _hashable(canonicalize_padding(padding, rank)),
        "input_dilation": per_axis("input_dilation", input_dilation, rank),
        "kernel_dilation": per_axis("kernel_dilation", kernel_dilation, rank),
        "feature_group_count": feature_group_count,
        "precision": precision,
    }
    if conv_general_dilated is None and out_sharding is None:
        return _conv(x, kernel, bias, **settings)
    return _convolve(
        x,
        kernel,
        bias,
        **settings,
        conv_general_dilated=conv_general_dilated,
        out_sharding=out_sharding,
    )


@functools.lru_cache(maxsize=256)
def _local_output(
    x_shape: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: str | Pairs,
    input_dilation: tuple[int, ...],
    kernel_dilation: tuple[int, ...],
) -> tuple[int, ...]:
    one_example = jax.ShapeDtypeStruct((1, *x_shape[-len(window) - 1 :]), jnp.float32)
    kernel = jax.ShapeDtypeStruct((*window, x_shape[-1], 1), jnp.float32)
    y = jax.eval_shape(
        lambda x, k: _convolve(
            x,
            k,
            None,
            strides=strides,
            padding=padding,
            input_dilation=input_dilation,
            kernel_dilation=kernel_dilation,
            feature_group_count=1,
            precision=None,
        ),
        one_example,
        kernel,
    )
    return tuple(y.shape[1:-1])


def local_output_shape(
    x_shape: Shape,
    window: Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: PaddingLike = "SAME",
    input_dilation: int | Sequence[int] | None = None,
    kernel_dilation: int | Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Return the spatial sizes of the result of a convolution: where unshared weights are needed.

    Args:
      x_shape: shape of the input.
      window: size of the window along each spatial axis.
      strides: as in `conv`; the other settings too.
      padding: as in `conv`.
      input_dilation: as in `conv`.
      kernel_dilation: as in `conv`.
    """
    rank = len(window)
    if len(x_shape) <= rank:
        raise ValueError(
            f"an input of shape {tuple(x_shape)} has too few axes for a window {tuple(window)}."
        )
    return _local_output(
        tuple(x_shape),
        tuple(window),
        per_axis("strides", strides, rank),
        _hashable(canonicalize_padding(padding, rank)),
        per_axis("input_dilation", input_dilation, rank),
        per_axis("kernel_dilation", kernel_dilation, rank),
    )


def _local_sample(dtype: Any) -> Any:
    arrays = numbers((2, 6, 3), dtype), numbers((6, 9, 4), dtype, 50), numbers((6, 4), dtype, 90)
    return arrays, {**_PLAIN_SETTINGS, "input_dilation": (1,), "window": (3,)}


@eager_compiled(
    static_argnames=(*_SETTINGS, "window"), sample=_local_sample, proven=_conv_keeps_bits
)
def _conv_local(
    x: Array,
    kernel: Array,
    bias: Array | None,
    *,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: str | Pairs,
    input_dilation: tuple[int, ...],
    kernel_dilation: tuple[int, ...],
    precision: PrecisionLike,
) -> Array:
    x, batch = _one_batch_axis(x, len(window))
    x, rest = _pad_input(x, padding, window, kernel_dilation)
    y = lax.conv_general_dilated_local(
        x,
        kernel,
        strides,
        rest,
        window,
        lhs_dilation=input_dilation,
        rhs_dilation=kernel_dilation,
        dimension_numbers=conv_dimension_numbers(x.shape),
        precision=precision,
    )
    if bias is not None:
        y = add_bias(y, bias, (1, *bias.shape))
    return _with_batch_axes(y, batch)


def _local_sources(
    x: Array, kernel: Array, bias: Array | None = None, *, window: Sequence[int], **_: Any
) -> Any:
    last = x.ndim - 1
    positions = range(last - len(window), last)
    return [
        [
            (x, (*range(last), None)),
            (kernel, (*positions, None, last)),
            (bias, (*positions, last)),
        ]
    ]


@laid_out(_local_sources)
def conv_local(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    window: Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: PaddingLike = "SAME",
    input_dilation: int | Sequence[int] | None = None,
    kernel_dilation: int | Sequence[int] | None = None,
    precision: PrecisionLike = None,
) -> Array:
    """Convolve with weights of their own at each position of the result.

    Args:
      x: ``[*batch, *spatial, in]``.
      kernel: ``[*positions, in * prod(window), out]``, channels before window in the second last
        axis; `local_output_shape` gives the positions.
      bias: ``[*positions, out]`` or None.
      window: size of the window along each spatial axis.
      strides: as in `conv`; the other settings too.
      padding: as in `conv`.
      input_dilation: as in `conv`.
      kernel_dilation: as in `conv`.
      precision: of the products; see `jax.lax.Precision`.

    Returns:
      ``[*batch, *positions, out]``.
    """
    rank = len(window)
    return _conv_local(
        x,
        kernel,
        bias,
        window=tuple(window),
        strides=per_axis("strides", strides, rank),
        padding=_hashable(canonicalize_padding(padding, rank)),
        input_dilation=per_axis("input_dilation", input_dilation, rank),
        kernel_dilation=per_axis("kernel_dilation", kernel_dilation, rank),
        precision=precision,
    )


def _fold_periods(y: Array, periods: Sequence[int], transpose_kernel: bool) -> Array:
    """Add up what lies whole periods apart along each spatial axis, aligned with the centre.

    A transposed convolution without borders reaches beyond the input on both sides. On a
    periodic axis that overhang belongs to the other end. Zeros on both sides first make the
    length an odd number of periods, with the one to keep in the middle.
    """
    widths = [(0, 0, 0)]
    for size, period in zip(y.shape[1:-1], periods, strict=True):
        missing = (period - size) % (2 * period)
        small, large = missing // 2, missing - missing // 2
        widths.append((small, large, 0) if transpose_kernel else (large, small, 0))
    widths.append((0, 0, 0))
    if any(low or high for low, high, _ in widths):
        y = lax.pad(y, lax.full((), 0, y.dtype), widths)
    for axis, period in enumerate(periods, start=1):
        shape = y.shape
        split = (*shape[:axis], shape[axis] // period, period, *shape[axis + 1 :])
        y = jnp.sum(lax.reshape(y, split), axis=axis)
    return y


def _transpose_sample(dtype: Any) -> Any:
    arrays = numbers((2, 6, 3), dtype), numbers((3, 3, 4), dtype, 50), numbers((4,), dtype, 90)
    rest = {"strides": (2,), "transpose_kernel": False, "preferred_element_type": None}
    return arrays, {**_PLAIN_SETTINGS, **rest}


@eager_compiled(
    static_argnames=(
        "strides",
        "padding",
        "kernel_dilation",
        "transpose_kernel",
        "precision",
        "preferred_element_type",
    ),
    sample=_transpose_sample,
    proven=_conv_keeps_bits,
)
def _conv_transpose(
    x: Array,
    kernel: Array,
    bias: Array | None,
    *,
    strides: tuple[int, ...],
    padding: str | Pairs,
    kernel_dilation: tuple[int, ...],
    transpose_kernel: bool,
    precision: PrecisionLike,
    preferred_element_type: Dtype | None,
) -> Array:
    x, batch = _one_batch_axis(x, len(strides))
    circular = padding == "CIRCULAR"
    y = lax.conv_transpose(
        x,
        kernel,
        strides,
        "VALID" if circular else padding,
        rhs_dilation=kernel_dilation,
        transpose_kernel=transpose_kernel,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    if circular:
        periods = [size * step for size, step in zip(x.shape[1:-1], strides, strict=True)]
        y = _fold_periods(y, periods, transpose_kernel)
    if bias is not None:
        y = add_bias(y, bias, (1,) * (y.ndim - bias.ndim) + bias.shape)
    return _with_batch_axes(y, batch)


@laid_out(_conv_sources)
def conv_transpose(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    strides: int | Sequence[int] | None = None,
    padding: PaddingLike = "SAME",
    kernel_dilation: int | Sequence[int] | None = None,
    transpose_kernel: bool = False,
    precision: PrecisionLike = None,
    preferred_element_type: Dtype | None = None,
) -> Array:
    """Convolve with the input spread out: the transpose of a strided convolution.

    Args:
      x: ``[*batch, *spatial, in]``.
      kernel: ``[*window, in, out]``, or ``[*window, out, in]`` with `transpose_kernel`.
      bias: ``[out]`` or None.
      strides: how far the elements of the input are moved apart, per spatial axis.
      padding: "SAME", "VALID", widths, or "CIRCULAR" for a periodic input and result.
      kernel_dilation: distances between the elements of the window.
      transpose_kernel: flip the window and swap its channels, so that the result is the gradient
        of the convolution with that kernel.
      precision: of the products; see `jax.lax.Precision`.
      preferred_element_type: the dtype to accumulate in and to return.

    Returns:
      ``[*batch, *spatial, out]``; ``spatial`` is that of `x` times the strides for the paddings
      "SAME" and "CIRCULAR".
    """
    rank = kernel.ndim - 2
    return _conv_transpose(
        x,
        kernel,
        bias,
        strides=per_axis("strides", strides, rank),
        padding=_hashable(canonicalize_padding(padding, rank)),
        kernel_dilation=per_axis("kernel_dilation", kernel_dilation, rank),
        transpose_kernel=transpose_kernel,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
