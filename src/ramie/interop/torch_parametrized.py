"""Weights that PyTorch keeps in parts: weight norm, spectral norm, pruning.

``torch.nn.utils`` replaces a tensor by others that it is computed from before each call. There are
two ways to name them: ``weight_g`` and ``weight_v`` of the old functions, and
``parametrizations.weight.original0`` and so on of `torch.nn.utils.parametrizations`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ramie.interop.torch_tensors import Array, StateDict, Unfit

__all__ = [
    "MASKED",
    "PLAIN",
    "SPECTRAL_NORM",
    "UNKNOWN",
    "WEIGHT_NORM",
    "Stored",
    "as_matrix",
    "composed",
    "groups_of",
    "lengths",
    "names_of",
    "rows_of",
    "stored",
]

PLAIN = "plain"
WEIGHT_NORM = "weight norm"
SPECTRAL_NORM = "spectral norm"
MASKED = "pruning"
UNKNOWN = "unknown"

_EPSILON = 1e-12
_BELOW = "parametrizations"
# How each form names its parts: by the old functions, and by parametrisations.
_OLD = {
    WEIGHT_NORM: ("_g", "_v"),
    SPECTRAL_NORM: ("_orig", "_u", "_v"),
    MASKED: ("_orig", "_mask"),
}
_NEW = {
    WEIGHT_NORM: ("original0", "original1"),
    SPECTRAL_NORM: ("original", "0._u", "0._v"),
}
_VECTOR = ("original",)  # a tensor of one axis under spectral norm, which has no singular vectors


@dataclasses.dataclass(frozen=True)
class Stored:
    """How a tensor is stored.

    Attributes:
      kind: the form, such as `WEIGHT_NORM`.
      names: the tensors that hold it.
    """

    kind: str
    names: tuple[str, ...]


def names_of(name: str, kind: str, old: bool = False) -> tuple[str, ...]:
    """Return the names of the parts of a tensor.

    Args:
      name: the name of the tensor itself.
      kind: the form.
      old: whether in the names of the old functions.

    Example:
      >>> from ramie.interop import torch_parametrized as parametrized
      >>> parametrized.names_of("head.weight", parametrized.WEIGHT_NORM)
      ('head.parametrizations.weight.original0', 'head.parametrizations.weight.original1')
    """
    if kind == PLAIN:
        return (name,)
    if old or kind == MASKED:
        return tuple(f"{name}{suffix}" for suffix in _OLD[kind])
    return tuple(f"{_prefix(name)}{part}" for part in _NEW[kind])


def _prefix(name: str) -> str:
    *above, last = name.split(".")
    return ".".join((*above, _BELOW, last, ""))


def stored(tensors: StateDict, name: str) -> Stored | None:
    """Find in what form a state dict holds a tensor; None if it does not."""
    if name in tensors:
        return Stored(PLAIN, (name,))
    for kind in _OLD:
        parts = names_of(name, kind, old=True)
        if all(part in tensors for part in parts):
            return Stored(kind, parts)
    prefix = _prefix(name)
    if f"{prefix}original" not in tensors and f"{prefix}original0" not in tensors:
        return None
    below = tuple(part for part in tensors.known() if part.startswith(prefix))
    for kind in _NEW:
        parts = names_of(name, kind)
        if set(parts) == set(below):
            return Stored(kind, parts)
    if below == (f"{prefix}{_VECTOR[0]}",):
        return Stored(SPECTRAL_NORM, below)
    return Stored(UNKNOWN, below)


def composed(kind: str, parts: Sequence[Array], axis: int) -> Array:
    """Compute the tensor that PyTorch computes from its parts, in evaluation mode.

    Args:
      kind: the form.
      parts: in the order of `names_of`.
      axis: where the layer has its outputs; spectral norm makes the rows of its matrix of it.

    Raises:
      Unfit: if the parts do not belong together.
    """
    if kind == PLAIN:
        return parts[0]
    wide = np.promote_types(np.float32, _native(parts[0]))
    if kind == WEIGHT_NORM:
        scale, direction = (part.astype(wide) for part in parts)
        return (direction * (scale / lengths(direction, scale))).astype(wide)
    weight = parts[0].astype(wide)
    if kind == MASKED:
        if parts[1].shape != weight.shape:
            raise Unfit(f"has a mask of shape {parts[1].shape} for a weight of {weight.shape}")
        return weight * parts[1].astype(wide)
    if len(parts) == 1:  # a vector
        if weight.ndim != 1:
            raise Unfit("has a parametrisation that is unknown here")
        return (weight / max(float(np.linalg.norm(weight)), _EPSILON)).astype(wide)
    u, v = (part.astype(np.float64) for part in parts[1:])
    matrix = as_matrix(weight, rows_of(weight, u, v, axis))
    return (weight / (u @ (matrix @ v))).astype(wide)


def _native(array: Array) -> np.dtype[np.generic]:
    """Return the dtype if it is one of NumPy's own floats, and float32 in place of others."""
    return array.dtype if array.dtype.kind in "fc" else np.dtype(np.float32)


def lengths(direction: Array, scale: Array) -> Array:
    """Return the lengths that weight norm divides by, in the shape of the scale.

    Raises:
      Unfit: if the two do not belong together.
    """
    axes = groups_of(scale, direction)
    squares = np.square(direction.astype(np.promote_types(np.float64, _native(direction))))
    return np.sqrt(np.sum(squares, axis=axes, keepdims=scale.ndim > 0))


def groups_of(scale: Array, direction: Array) -> tuple[int, ...]:
    """Return the axes over which weight norm takes lengths: those that the scale lacks."""
    if scale.ndim == 0:
        return tuple(range(direction.ndim))
    sizes = [size in (1, full) for size, full in zip(scale.shape, direction.shape, strict=False)]
    if scale.ndim != direction.ndim or not all(sizes):
        raise Unfit(f"has lengths of shape {scale.shape} for a weight of shape {direction.shape}")
    return tuple(axis for axis, size in enumerate(scale.shape) if size == 1)


def rows_of(weight: Array, u: Array, v: Array, axis: int) -> int:
    """Return the axis of a weight that is the rows of the matrix with singular vectors u and v.

    Args:
      weight: the weight.
      u: the left one, along one axis of the weight.
      v: the right one, along all others.
      axis: the axis that it should be.

    Raises:
      Unfit: if neither that axis nor one of the first two fits.
    """
    for rows in (axis, *(other for other in (0, 1) if other != axis)):
        if rows >= weight.ndim or u.shape != (weight.shape[rows],):
            continue
        if v.shape == (weight.size // max(u.size, 1),):
            return rows
    raise Unfit(
        f"has singular vectors of shapes {u.shape} and {v.shape} for a weight of shape "
        f"{weight.shape}"
    )


def as_matrix(weight: Array, rows: int) -> Array:
    """Return a weight as a matrix with one of its axes as rows."""
    return np.moveaxis(weight, rows, 0).reshape(weight.shape[rows], -1)
