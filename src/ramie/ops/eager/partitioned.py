"""Operations written out, where XLA would divide the one that it has wrongly over a mesh."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.typing import Array, LaxPadding, PrecisionLike

__all__ = ["grouped_conv"]


def grouped_conv(
    x: Array,
    kernel: Array,
    strides: tuple[int, ...],
    padding: LaxPadding,
    input_dilation: tuple[int, ...],
    kernel_dilation: tuple[int, ...],
    groups: int,
    precision: PrecisionLike,
) -> Array:
    """Convolve in groups as a sum over the elements of the window.

    XLA divides the gradient of a grouped convolution wrongly where the mesh has several axes and
    the batch lies on some of them only. That of products and slices is right.

    Args:
      x: ``[batch, *spatial, in]``.
      kernel: ``[*window, in // groups, out]``.
      strides: steps between windows, per spatial axis.
      padding: a name that `jax.lax` knows, or a (low, high) pair per spatial axis.
      input_dilation: distances between the elements of the input.
      kernel_dilation: distances between the elements of the window.
      groups: into how many groups the channels are split.
      precision: of the products.

    Returns:
      ``[batch, *spatial, out]``.

    Example:
      >>> import jax.numpy as jnp
      >>> x, kernel = jnp.ones((1, 3, 2)), jnp.ones((3, 1, 2))
      >>> grouped_conv(x, kernel, (1,), "SAME", (1,), (1,), 2, None)[0, :, 0].tolist()
      [2.0, 3.0, 2.0]
    """
    window, inner = kernel.shape[:-2], x.shape[1:-1]
    spans = [(size - 1) * step + 1 for size, step in zip(window, kernel_dilation, strict=True)]
    sizes = [max(size - 1, 0) * step + 1 for size, step in zip(inner, input_dilation, strict=True)]
    pads = (
        lax.padtype_to_pads(sizes, spans, strides, padding) if isinstance(padding, str) else padding
    )
    widths = [(low, high, step - 1) for (low, high), step in zip(pads, input_dilation, strict=True)]
    x = lax.pad(x, lax.full((), 0, x.dtype), [(0, 0, 0), *widths, (0, 0, 0)])
    places = zip(x.shape[1:-1], spans, strides, strict=True)
    counts = [max((size - span) // step + 1, 0) for size, span, step in places]
    total: Array | None = None
    for offset in np.ndindex(*window):
        start = [at * step for at, step in zip(offset, kernel_dilation, strict=True)]
        ends = zip(start, counts, strides, strict=True)
        stop = [at + max((count - 1) * step + 1, 0) for at, count, step in ends]
        part = lax.slice(x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *strides, 1))
        term = jnp.einsum(
            "...gi,igo->...go",
            lax.reshape(part, (*part.shape[:-1], groups, part.shape[-1] // groups)),
            lax.reshape(kernel[offset], (kernel.shape[-2], groups, kernel.shape[-1] // groups)),
            precision=precision,
        )
        total = term if total is None else lax.add(total, term)
    assert total is not None
    return lax.reshape(total, (*total.shape[:-2], kernel.shape[-1]))
