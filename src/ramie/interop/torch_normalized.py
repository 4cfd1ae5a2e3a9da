"""Weight norm and spectral norm: what PyTorch keeps for a weight, and what layers here keep.

Both keep the weight, and the length or the singular vectors of its parts. Which parts these are
depends on the order of axes, so arrays of numbers go the way of the weight to find it out.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ramie.interop import torch_parametrized as parametrized
from ramie.interop.torch_models import Wrapped
from ramie.interop.torch_tensors import Array, Unfit

__all__ = ["effective", "read_scale", "read_vectors", "write_scale", "write_vectors"]

Turn = Callable[[Array], Array]
"""Orders the axes of a weight as the other side has them."""

_OTHER_MATRIX = (
    "is read as another matrix by spectral norm here than by PyTorch's; take the layer without "
    "spectral norm, which gets the divided weight"
)


def _first(array: Array, axes: Sequence[int]) -> Array:
    """Return the entries along some axes, at the start of all others."""
    return array[tuple(slice(None) if a in axes else slice(1) for a in range(array.ndim))]


def _are_groups(numbers: Array, axes: Sequence[int], count: int) -> bool:
    """Tell whether `count` numbers differ exactly along some axes."""
    first = _first(numbers, axes)
    return bool(np.unique(first).size == first.size == count and (numbers == first).all())


def _unit(x: Array, axes: tuple[int, ...] | None = None, epsilon: float = 1e-12) -> Array:
    square = np.sum(np.square(x), axis=axes, keepdims=True)
    return np.asarray(x / np.sqrt(square + epsilon))


def read_scale(
    to_variable: Turn, kind: str, parts: Sequence[Array], wrapped: Wrapped, output_axis: int
) -> tuple[Array, Array]:
    """Return the weight and the scale that `WeightNorm` keeps for it.

    Args:
      to_variable: turns the tensor into the weight.
      kind: how PyTorch stores the weight.
      parts: the tensors that hold it.
      wrapped: the weight here.
      output_axis: see `Conversion`.

    Raises:
      Unfit: if the parts do not belong together.
    """
    if kind == parametrized.WEIGHT_NORM:
        scale, direction = parts
        parametrized.groups_of(scale, direction)
        spread = lambda x: to_variable(np.broadcast_to(x, direction.shape))
        if _are_groups(
            spread(np.arange(scale.size).reshape(scale.shape)), wrapped.axes, scale.size
        ):
            return to_variable(direction), _scale_of(spread(scale), wrapped.axes)
    # Lengths of other parts, or none at all: the same weight, by the lengths of its own.
    weight = to_variable(parametrized.composed(kind, parts, output_axis))
    others = tuple(axis for axis in range(weight.ndim) if axis not in wrapped.axes)
    length = np.sqrt(np.sum(np.square(weight.astype(np.float64)), axis=others, keepdims=True))
    return weight, _scale_of(length, wrapped.axes)


def _scale_of(lengths: Array, axes: Sequence[int]) -> Array:
    return _first(lengths, axes).reshape(tuple(lengths.shape[axis] for axis in sorted(axes)))


def _spread(scale: Array, weight: Array, axes: Sequence[int]) -> Array:
    sizes = [size if axis in axes else 1 for axis, size in enumerate(weight.shape)]
    return np.broadcast_to(scale.reshape(sizes), weight.shape)


def effective(weight: Array, kept: dict[str, Array], wrapped: Wrapped) -> Array:
    """Return the weight that the layer computes with.

    Args:
      weight: the weight that it keeps.
      kept: what else it keeps: ``scale``, or ``u`` and ``sigma``.
      wrapped: how it is normalised.
    """
    wide = weight.astype(np.float64)
    if "u" not in kept:
        others = tuple(axis for axis in range(weight.ndim) if axis not in wrapped.axes)
        scaled = _unit(wide, others, wrapped.epsilon) * _spread(kept["scale"], weight, wrapped.axes)
        return scaled.astype(weight.dtype)
    matrix = wide.reshape(-1, weight.shape[-1])
    v, u = _iterated(matrix, kept["u"].astype(np.float64).reshape(-1), wrapped)
    return (wide / (v @ matrix @ u)).astype(weight.dtype)


def _iterated(matrix: Array, u: Array, wrapped: Wrapped) -> tuple[Array, Array]:
    """Return the left and the right vector after the steps of one call, from the right one."""
    v = u
    for _ in range(wrapped.steps):
        v = _unit(matrix @ u, epsilon=wrapped.epsilon)
        u = _unit(v @ matrix, epsilon=wrapped.epsilon)
    return v, u


def write_scale(
    to_tensor: Turn, weight: Array, scale: Array, wrapped: Wrapped
) -> tuple[Array, Array]:
    """Return lengths and directions as weight norm of PyTorch keeps them.

    Args:
      to_tensor: turns the weight into the tensor.
      weight: the weight that `WeightNorm` keeps.
      scale: its scale.
      wrapped: how it is normalised.
    """
    direction = to_tensor(weight)
    if not wrapped.axes:
        return scale.reshape(()), direction
    numbers = np.arange(scale.size).reshape(scale.shape)
    turned = to_tensor(_spread(numbers, weight, wrapped.axes))
    for axis in range(direction.ndim):
        if _are_groups(turned, (axis,), scale.size):
            return _first(to_tensor(_spread(scale, weight, wrapped.axes)), (axis,)), direction
    # PyTorch has one length along one axis; the same weight, by the lengths of its outputs.
    direction = to_tensor(effective(weight, {"scale": scale}, wrapped))
    outputs = direction.reshape(direction.shape[0], -1).astype(np.float64)
    sizes = (-1, *(1,) * (direction.ndim - 1))
    return np.linalg.norm(outputs, axis=1).reshape(sizes).astype(scale.dtype), direction


def read_vectors(
    to_variable: Turn, parts: Sequence[Array], output_axis: int
) -> tuple[Array, dict[str, Array]]:
    """Return the weight, and the `u` and ``sigma`` that `SpectralNorm` keeps for it.

    Args:
      to_variable: turns the tensor into the weight.
      parts: the tensors that hold the weight: itself and two singular vectors.
      output_axis: see `Conversion`.

    Raises:
      Unfit: if the parts do not belong together, or the matrix is another one here.
    """
    tensor, u, v = parts
    rows = parametrized.rows_of(tensor, u, v, output_axis)
    matrix = parametrized.as_matrix(tensor, rows).astype(np.float64)
    sigma = np.asarray(u.astype(np.float64) @ matrix @ v.astype(np.float64))
    weight = to_variable(tensor)
    sizes = [u.size if axis == rows else 1 for axis in range(tensor.ndim)]
    numbers = to_variable(np.broadcast_to(np.arange(u.size).reshape(sizes), tensor.shape))
    if _are_groups(numbers, (weight.ndim - 1,), u.size):
        right = u[_first(numbers, (weight.ndim - 1,)).reshape(-1)]
    elif weight.ndim == 2 and _are_groups(numbers, (0,), u.size):  # the same matrix, transposed
        right = v
    else:
        raise Unfit(_OTHER_MATRIX)
    return weight, {"u": right.reshape(1, -1), "sigma": sigma}


def write_vectors(
    to_tensor: Turn, weight: Array, u: Array, wrapped: Wrapped, output_axis: int
) -> tuple[Array, Array, Array]:
    """Return the weight and the vectors with which PyTorch divides it as the next call here does.

    Args:
      to_tensor: turns the weight into the tensor.
      weight: the weight that `SpectralNorm` keeps.
      u: the vector that it keeps.
      wrapped: how it is normalised.
      output_axis: see `Conversion`.

    Raises:
      Unfit: if PyTorch reads the weight as another matrix.
    """
    tensor, right = to_tensor(weight), u.astype(np.float64).reshape(-1)
    matrix = parametrized.as_matrix(tensor, output_axis).astype(np.float64)
    numbers = to_tensor(np.broadcast_to(np.arange(right.size), weight.shape))
    if _are_groups(numbers, (output_axis,), right.size):
        order = _first(numbers, (output_axis,)).reshape(-1)
        right_of_torch, left_of_torch = _iterated(matrix.T, right[order], wrapped)
    elif tensor.ndim == 2 and _are_groups(numbers, (1 - output_axis,), right.size):
        left_of_torch, right_of_torch = _iterated(matrix, right, wrapped)
    else:
        raise Unfit(_OTHER_MATRIX)
    return tensor, left_of_torch.astype(u.dtype), right_of_torch.astype(u.dtype)
