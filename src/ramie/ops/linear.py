"""Linear maps: products over one or several axes, einsum, and table lookup.

The functions take arrays that already share a dtype (see `ramie.ops.dtypes.promote_dtype`). A
bias of another dtype, as `preferred_element_type` can bring about, is promoted when it is added.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.ops.eager.dispatch import PROVEN_DTYPES, eager_compiled
from ramie.ops.eager.meshes import is_explicit, laid_by, laid_out, spread
from ramie.ops.eager.proofs import numbers
from ramie.typing import Array, DotGeneralT, Dtype, EinsumT, PrecisionLike, Shape

__all__ = [
    "EinsumPlan",
    "add_bias",
    "added",
    "as_tuple",
    "dense",
    "dense_general",
    "einsum",
    "einsum_fits",
    "einsum_plan",
    "embed_attend",
    "embed_lookup",
    "indices",
    "low_rank",
    "normalize_axes",
    "side_by_side",
]


def as_tuple(x: int | Iterable[int]) -> tuple[int, ...]:
    """Return the integers as a tuple; a single one makes a tuple of one."""
    return tuple(x) if isinstance(x, Iterable) else (x,)


def normalize_axes(axes: Sequence[int], ndim: int) -> tuple[int, ...]:
    """Count axes from the front and sort them.

    Raises:
      ValueError: if one of them is not an axis of an array with `ndim` axes.
    """
    for axis in axes:
        if not -ndim <= axis < ndim:
            raise ValueError(
                f"axis {axis} does not exist: the array has {ndim} axes, so axes go from {-ndim} "
                f"to {ndim - 1}."
            )
    return tuple(sorted(axis % ndim for axis in axes))


def add_bias(y: Array, bias: Array, shape: tuple[int, ...]) -> Array:
    """Add `bias`, reshaped to `shape`, which has as many axes as `y` and broadcasts to it."""
    if bias.shape != shape:
        bias = lax.reshape(bias, shape)
    # lax.add takes one dtype and treats axes of size 1 as numpy does.
    return lax.add(y, bias) if y.dtype == bias.dtype else jnp.add(y, bias)


def _bias_sources(y: Array, bias: Array, shape: tuple[int, ...]) -> Any:
    left = (place for place, size in enumerate(shape) if size > 1)  # the others are not divided
    return [[spread(y, y.ndim), (bias, [next(left) if size > 1 else None for size in bias.shape])]]


# For products by a user's function: it may hold arrays of its own, and is not run a second time.
_add_bias_laid_out = laid_out(_bias_sources)(add_bias)


def _product_keeps_bits(kernel: Array, bias: Array | None, contracted: int) -> bool:
    # A product over a single element is a plain multiplication, which XLA fuses with the addition
    # of the bias into one instruction that rounds once.
    return kernel.dtype in PROVEN_DTYPES and (bias is None or contracted > 1)


def _dense_keeps_bits(x: Array, kernel: Array, bias: Array | None, **_: Any) -> bool:
    return _product_keeps_bits(kernel, bias, kernel.shape[0])


def _dense_sample(dtype: Any) -> Any:
    arrays = numbers((3, 5), dtype), numbers((5, 4), dtype, 20), numbers((4,), dtype, 40)
    return arrays, {"precision": None}


@eager_compiled(static_argnames=("precision",), sample=_dense_sample, proven=_dense_keeps_bits)
def _dense(x: Array, kernel: Array, bias: Array | None, *, precision: PrecisionLike) -> Array:
    last = x.ndim - 1
    y = lax.dot_general(x, kernel, (((last,), (0,)), ((), ())), precision=precision)
    if bias is None:
        return y
    return add_bias(y, bias, (1,) * (y.ndim - bias.ndim) + bias.shape)


def _multiplied(
    dot_general: DotGeneralT | None,
    x: Array,
    kernel: Array,
    dimensions: Any,
    precision: PrecisionLike,
    out_sharding: Any,
) -> Array:
    multiply: Any = lax.dot_general if dot_general is None else dot_general
    options = {} if out_sharding is None else {"out_sharding": out_sharding}
    y: Array = multiply(x, kernel, dimensions, precision=precision, **options)
    return y


def _dense_sources(x: Array, kernel: Array, bias: Array | None = None, **_: Any) -> Any:
    last = x.ndim - 1
    return [[(x, (*range(last), None)), (kernel, (None, last)), (bias, (last,))]]


@laid_out(_dense_sources)
def dense(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    precision: PrecisionLike = None,
    dot_general: DotGeneralT | None = None,
    out_sharding: Any = None,
) -> Array:
    """Multiply the last axis with a matrix and add a bias: ``x @ kernel + bias``.

    Args:
      x: ``[..., in]``.
      kernel: ``[in, out]``.
      bias: ``[out]`` or None.
      precision: of the product; see `jax.lax.Precision`.
      dot_general: a function to use in place of `jax.lax.dot_general`, called with
        ``(x, kernel, dimension_numbers, precision=precision)``, and with `out_sharding` if there
        is one.
      out_sharding: how the result is laid out over devices; by default as `laid_out` says.

    Returns:
      ``[..., out]``.
    """
    if dot_general is None and out_sharding is None:
        return _dense(x, kernel, bias, precision=precision)
    dimensions = (((x.ndim - 1,), (0,)), ((), ()))
    y = _multiplied(dot_general, x, kernel, dimensions, precision, out_sharding)
    if bias is None:
        return y
    return _add_bias_laid_out(y, bias, (1,) * (y.ndim - bias.ndim) + bias.shape)


def _general_dimensions(axis: tuple[int, ...], batch_dims: tuple[int, ...]) -> Any:
    batched = len(batch_dims)
    contracted = tuple(range(batched, batched + len(axis)))
    return (axis, contracted), (batch_dims, tuple(range(batched)))


def _general_bias_shape(
    x_shape: Shape, bias_shape: Shape, axis: tuple[int, ...], batch_dims: tuple[int, ...]
) -> tuple[int, ...]:
    kept = len(x_shape) - len(axis) - len(batch_dims)
    batched = len(batch_dims)
    return (*bias_shape[:batched], *(1,) * kept, *bias_shape[batched:])


def _general_keeps_bits(
    x: Array,
    kernel: Array,
    bias: Array | None,
    *,
    axis: tuple[int, ...],
    batch_dims: tuple[int, ...],
    **_: Any,
) -> bool:
    contracted = 1
    for a in axis:
        contracted *= x.shape[a]
    return _product_keeps_bits(kernel, bias, contracted)


def _general_sample(dtype: Any) -> Any:
    arrays = numbers((2, 3, 5), dtype), numbers((3, 5, 2, 2), dtype, 20), numbers((2, 2), dtype, 50)
    return arrays, {"axis": (1, 2), "batch_dims": (), "precision": None}


@eager_compiled(
    static_argnames=("axis", "batch_dims", "precision"),
    sample=_general_sample,
    proven=_general_keeps_bits,
)
def _dense_general(
    x: Array,
    kernel: Array,
    bias: Array | None,
    *,
    axis: tuple[int, ...],
    batch_dims: tuple[int, ...],
    precision: PrecisionLike,
) -> Array:
    y = lax.dot_general(x, kernel, _general_dimensions(axis, batch_dims), precision=precision)
    if bias is None:
        return y
    return add_bias(y, bias, _general_bias_shape(x.shape, bias.shape, axis, batch_dims))


def _general_sources(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    axis: tuple[int, ...],
    batch_dims: tuple[int, ...] = (),
    **_: Any,
) -> Any:
    batch = range(len(batch_dims))
    kept = [a for a in range(x.ndim) if a not in axis]
    contracted, ndim = len(batch) + len(axis), len(kept) + kernel.ndim - len(batch) - len(axis)
    added = range(len(kept), ndim)
    return [
        [
            (x, [kept.index(a) if a in kept else None for a in range(x.ndim)]),
            (kernel, (*batch, *[None] * (contracted - len(batch)), *added)),
            (bias, (*batch, *added)),
        ]
    ]


@laid_out(_general_sources)
def dense_general(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    axis: tuple[int, ...],
    batch_dims: tuple[int, ...] = (),
    precision: PrecisionLike = None,
    dot_general: DotGeneralT | None = None,
    out_sharding: Any = None,
) -> Array:
    """Contract several axes of `x` with the input axes of a kernel, and add a bias.

    Args:
      x: ``[batch..., ...]``.
      kernel: ``[batch..., in..., out...]``, ``in`` being the axes `axis` of `x` in order.
      bias: ``[batch..., out...]`` or None.
      axis: the axes of `x` to contract: sorted, not negative.
      batch_dims: the axes of `x` that have a kernel of their own for each index: the first ones.
      precision: of the product; see `jax.lax.Precision`.
      dot_general: a function to use in place of `jax.lax.dot_general`; see `dense`.
      out_sharding: how the result is laid out over devices; by default as `laid_out` says.

    Returns:
      ``[batch..., kept..., out...]``, where ``kept`` are the axes of `x` named nowhere.
    """
    if dot_general is None and out_sharding is None:
        return _dense_general(
            x, kernel, bias, axis=axis, batch_dims=batch_dims, precision=precision
        )
    dimensions = _general_dimensions(axis, batch_dims)
    y = _multiplied(dot_general, x, kernel, dimensions, precision, out_sharding)
    if bias is None:
        return y
    return _add_bias_laid_out(y, bias, _general_bias_shape(x.shape, bias.shape, axis, batch_dims))


def _labels(term: str, ndim: int) -> tuple[Any, ...]:
    """Return a label per axis. Axes of an ellipsis are numbered from the last, as they align."""
    if "..." not in term:
        named: tuple[Any, ...] = tuple(term)
        if len(named) != ndim:
            raise ValueError(
                f"the term {term!r} of an einsum names {len(named)} axes, but its operand has "
                f"{ndim}."
            )
        return named
    before, _, after = term.partition("...")
    hidden = ndim - len(before) - len(after)
    if hidden < 0 or "." in after:
        raise ValueError(f"the term {term!r} of an einsum does not fit an operand of {ndim} axes.")
    return (*before, *range(hidden - 1, -1, -1), *after)


class EinsumPlan(NamedTuple):
    """What follows from an einsum of an input with a kernel before any number is known."""

    bias_shape: tuple[int, ...]
    """The shape of the bias: the axes of the output that come from the kernel."""
    bias_broadcast: tuple[int, ...]
    """The same with ones in it, so that it broadcasts to the output."""
    keeps_bits: bool
    """Whether compiling the einsum and the bias as one program is known to keep every bit."""


@functools.lru_cache(maxsize=1024)
def einsum_plan(
    equation: str, x_shape: tuple[int, ...], kernel_shape: tuple[int, ...]
) -> EinsumPlan:
    """Read an equation for operands of the given shapes.

    Args:
      equation: an explicit equation of two terms, without spaces.
      x_shape: shape of the first operand.
      kernel_shape: shape of the second one.

    Raises:
      ValueError: if a term does not fit its operand.

    Example:
      >>> plan = einsum_plan("abcd,eafc->bfed", (3, 4, 5, 6), (7, 3, 8, 5))
      >>> plan.bias_shape, plan.bias_broadcast
      ((8, 7), (1, 8, 7, 1))
    """
    terms, _, output = equation.partition("->")
    x_term, kernel_term = terms.split(",")
    x_sizes = dict(zip(_labels(x_term, len(x_shape)), x_shape, strict=True))
    sizes = dict(zip(_labels(kernel_term, len(kernel_shape)), kernel_shape, strict=True))
    hidden = sum(isinstance(a, int) for a in {*x_sizes, *sizes})
    named = len(output.replace("...", ""))
    labels = _labels(output, named + hidden if "..." in output else named)
    summed = {*x_sizes, *sizes}.difference(labels)
    only_products = all(x_sizes.get(a) == sizes.get(a) for a in summed)
    return EinsumPlan(
        tuple(sizes[a] for a in labels if a in sizes),
        tuple(sizes.get(a, 1) for a in labels),
        only_products and math.prod(sizes.get(a, 1) for a in summed) > 1,
    )


def einsum_fits(equation: str, *operands: Array) -> bool:
    """Tell whether operands have sizes that an einsum can have.

    Args:
      equation: the einsum, with an arrow.
      *operands: arrays, of which only the shapes count.

    Example:
      >>> x, kernel = np.ones((2, 3)), np.ones((3, 4))
      >>> einsum_fits("ab,bc->ac", x, kernel), einsum_fits("ab,bc->ac", kernel, x)
      (True, False)
    """
    sizes = [jax.ShapeDtypeStruct(np.shape(x), jnp.float32) for x in operands]
    try:
        jax.eval_shape(functools.partial(jnp.einsum, equation), *sizes)
    except Exception:  # whatever it is, the sizes are a part of it
        return False
    return True


def _einsum_keeps_bits(
    x: Array, kernel: Array, bias: Array | None, *, equation: str, **options: Any
) -> bool:
    return (
        kernel.dtype in PROVEN_DTYPES
        and kernel.dtype != np.float64  # not shown for this operation
        and options["preferred_element_type"] is None
        and einsum_plan(equation, x.shape, kernel.shape).keeps_bits
    )


def _einsum_sample(dtype: Any) -> Any:
    arrays = numbers((2, 3, 5), dtype), numbers((5, 3, 4), dtype, 20), numbers((4,), dtype, 50)
    return arrays, {"equation": "abc,cbd->ad", "precision": None, "preferred_element_type": None}


@eager_compiled(
    static_argnames=("equation", "precision", "preferred_element_type"),
    sample=_einsum_sample,
    proven=_einsum_keeps_bits,
)
def _einsum(
    x: Array,
    kernel: Array,
    bias: Array | None,
    *,
    equation: str,
    precision: PrecisionLike,
    preferred_element_type: Dtype | None,
) -> Array:
    y = jnp.einsum(
        equation, x, kernel, precision=precision, preferred_element_type=preferred_element_type
    )
    if bias is None:
        return y
    return add_bias(y, bias, einsum_plan(equation, x.shape, kernel.shape).bias_broadcast)


def _einsum_sources(
    x: Array, kernel: Array, bias: Array | None = None, *, equation: str, **settings: Any
) -> Any:
    del settings
    terms, _, output = equation.partition("->")
    x_term, kernel_term = terms.split(",")
    of_x, of_kernel = _labels(x_term, np.ndim(x)), _labels(kernel_term, np.ndim(kernel))
    hidden = sum(isinstance(a, int) for a in {*of_x, *of_kernel})
    named = len(output.replace("...", ""))
    labels = _labels(output, named + hidden if "..." in output else named)
    of_bias = [a for a in labels if a in of_kernel]
    return [
        [
            (array, [labels.index(a) if a in labels else None for a in term])
            for array, term in ((x, of_x), (kernel, of_kernel), (bias, of_bias))
        ]
    ]


@laid_out(_einsum_sources)
def einsum(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    equation: str,
    precision: PrecisionLike = None,
    preferred_element_type: Dtype | None = None,
    einsum_op: EinsumT | None = None,
    out_sharding: Any = None,
) -> Array:
    """Combine an input and a kernel as an einsum says, and add a bias.

    Args:
      x: the first operand.
      kernel: the second operand.
      bias: of the shape that `einsum_plan` finds, or None.
      equation: explicit, with two terms, such as "...a,ab->...b".
      precision: of the product; see `jax.lax.Precision`.
      preferred_element_type: the dtype to accumulate in and to return.
      einsum_op: a function to use in place of `jax.numpy.einsum`.
      out_sharding: how the result is laid out over devices; by default as `laid_out` says.
    """
    settings: dict[str, Any] = {
        "precision": precision,
        "preferred_element_type": preferred_element_type,
    }
    if einsum_op is None and out_sharding is None:
        return _einsum(x, kernel, bias, equation=equation, **settings)
    if out_sharding is not None:
        settings["out_sharding"] = out_sharding
    combine: Any = jnp.einsum if einsum_op is None else einsum_op
    y: Array = combine(equation, x, kernel, **settings)
    if bias is None:
        return y
    return add_bias(y, bias, einsum_plan(equation, np.shape(x), np.shape(kernel)).bias_broadcast)


def _lookup_sources(embedding: Array, indices: Array, **_: Any) -> Any:
    last = indices.ndim
    return [[(indices, range(last)), (embedding, (None, last))]]


@laid_out(_lookup_sources)
def embed_lookup(embedding: Array, indices: Array, *, out_sharding: Any = None) -> Array:
    """Read rows of a table.

    Args:
      embedding: ``[entries, features]``.
      indices: integers ``[...]``. Negative ones count from the end; beyond the table the result
        is NaN. A table of one entry gives that entry for every index.
      out_sharding: how the result is laid out over devices; by default as `laid_out` says. Of no
        effect where no mesh axis is explicit, as in Flax.

    Returns:
      ``[..., features]``.
    """
    if out_sharding is not None and is_explicit(out_sharding, embedding, indices):
        rows: Array = embedding.at[indices].get(mode="fill", out_sharding=out_sharding)
        return rows
    if embedding.shape[0] == 1:  # nothing to look up: a table split over devices stays as it is
        spread = jnp.broadcast_to(embedding, (*indices.shape, embedding.shape[1]))
        return laid_by(spread, *_lookup_sources(embedding, indices))
    return jnp.take(embedding, indices, axis=0)


def _attend_sources(query: Array, embedding: Array, **_: Any) -> Any:
    last = query.ndim - 1
    return [[(query, (*range(last), None)), (embedding, (last, None))]]


@laid_out(_attend_sources)
@eager_compiled(static_argnames=("out_sharding",))
def embed_attend(query: Array, embedding: Array, *, out_sharding: Any = None) -> Array:
    """Multiply with the transposed table: the logit of each entry.

    Args:
      query: ``[..., features]``.
      embedding: ``[entries, features]``.
      out_sharding: how the result is laid out over devices; by default as `laid_out` says.

    Returns:
      ``[..., entries]``.
    """
    options = {} if out_sharding is None else {"out_sharding": out_sharding}
    return jnp.dot(query, embedding.T, **options)


def low_rank(x: Array, first: Array, second: Array) -> Array:
    """Multiply with two matrices, one after the other.

    ``x: [..., in], first: [in, rank], second: [rank, out] -> [..., out]``.
    """
    return dense(dense(x, first), second)


@laid_out()
def added(a: Any, b: Any) -> Array:
    """Add what two layers return; shapes and dtypes are brought together as JAX does."""
    if a.dtype == b.dtype and a.shape == b.shape:
        return lax.add(a, b)
    return jnp.add(a, b)


def side_by_side(arrays: Sequence[Array]) -> Array:
    """Join arrays along their last axis, so that one product takes the place of several."""
    return jnp.concatenate(arrays, axis=-1)


def indices(x: Any) -> Array:
    """Return `x` as an array, after checking that it holds integers.

    Raises:
      ValueError: if it does not.
    """
    found: Array = x if hasattr(x, "dtype") else jnp.asarray(x)
    if not jnp.issubdtype(found.dtype, jnp.integer):
        raise ValueError(
            "Input type must be an integer or unsigned integer, but the indices are of dtype "
            f"{found.dtype}."
        )
    return found
