"""How objects of NNX print: nested, indented, with the number of elements they hold."""

import math
from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
import numpy as np

from ramie.core.inspection.summary_text import bytes_text
from ramie.foundation.configurations import config

__all__ = ["Describable", "Parts", "describe", "size_note", "size_of"]

Parts: TypeAlias = tuple[str, list[tuple[str, Any]], str]
"""What comes first, (label, value) pairs, and what comes last."""


@runtime_checkable
class Describable(Protocol):
    """An object that prints in parts."""

    def _nnx_parts(self) -> Parts: ...


def size_of(tree: Any) -> tuple[int, int]:
    """Count elements and bytes of the arrays in a pytree."""
    elements = total = 0
    for x in jax.tree_util.tree_leaves(tree):
        if isinstance(x, jax.Array | np.ndarray | jax.ShapeDtypeStruct):
            count = math.prod(x.shape)
            elements += count
            total += (
                count * np.dtype(x.dtype).itemsize
                if isinstance(x.dtype, np.dtype)
                else (x.dtype.itemsize * count)
            )
    return elements, total


def size_note(tree: Any) -> str:
    """Return elements and bytes in words, such as "6 (24 B)"; nothing if there are no arrays."""
    elements, total = size_of(tree)
    if not elements:
        return ""
    return f"{elements:,} ({bytes_text(total)})"


def describe(x: Any) -> str:
    """Return the text of an object and all that it holds; objects that hold themselves are cut."""
    return _text(x, False, [], config.flax_max_repr_depth)


def _text(x: Any, short: bool, outer: list[int], depth: int | None) -> str:
    if isinstance(x, jax.Array | np.ndarray) and short and x.size > 1:
        return f"Array(shape={x.shape}, dtype={x.dtype!r})"
    if isinstance(x, type) and short:
        return x.__name__
    said = None if isinstance(x, type) else getattr(x, "__nnx_repr__", None)
    if said is None and (not isinstance(x, Describable) or isinstance(x, type)):
        return repr(x)
    if id(x) in outer or (depth is not None and len(outer) >= depth):
        return f"{type(x).__name__}(...)"
    if said is not None:
        return _as_said(x, said(), short, outer, depth)
    first, entries, last = x._nnx_parts()
    short = short or not getattr(x, "_nnx_shows_arrays", True)
    outer.append(id(x))
    lines = [label + _text(value, short, outer, depth) for label, value in entries]
    outer.pop()
    if not lines:
        return first + last
    body = ",\n".join(lines).replace("\n", "\n  ")
    return f"{first}\n  {body}\n{last}"


def _as_said(x: Any, parts: Iterator[Any], short: bool, outer: list[int], depth: int | None) -> str:
    """Return the text that `__nnx_repr__` describes; see `ramie.nnx.reprlib`."""
    frame = next(parts)
    name = frame.type if isinstance(frame.type, str) else frame.type.__name__
    first = f"{name}{frame.start}"
    outer.append(id(x))
    lines = []
    for part in parts:
        is_raw = isinstance(part.value, str) and part.use_raw_value
        value = part.value if is_raw else _text(part.value, short, outer, depth)
        lines.append(f"{part.start}{part.key}{frame.kv_sep}{value}{part.end}")
    outer.pop()
    if not lines:
        return f"{first}{frame.empty_repr}{frame.end}"
    if frame.same_line:
        return f"{first}{frame.comment}{', '.join(lines)}{frame.end}"
    body = ",\n".join(lines).replace("\n", f"\n{frame.indent}")
    return f"{first}{frame.comment}\n{frame.indent}{body}\n{frame.end}"
