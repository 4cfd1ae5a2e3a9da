"""How objects of NNX print: nested, indented, with the number of elements they hold."""

import functools
import math
from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from ramie.core.inspection.summary_text import bytes_text, without_addresses
from ramie.foundation.configurations import config

__all__ = ["Describable", "Parts", "describe", "short_text", "size_note", "size_of"]

Parts: TypeAlias = tuple[str, list[tuple[str, Any]], str]
"""What comes first, (label, value) pairs, and what comes last."""

_MARK = "\0"  # before the note of an entry, until a comma is put between them
_SHORT = 80  # letters that a variable may have on one line


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
    return _text(x, False, [], config.flax_max_repr_depth).replace(_MARK, " ")


def _text(x: Any, short: bool, outer: list[int], depth: int | None) -> str:
    said = None if isinstance(x, type) else getattr(x, "__nnx_repr__", None)
    if said is None and (not isinstance(x, Describable) or isinstance(x, type)):
        is_plain = type(x) in (tuple, list, dict) or hasattr(type(x), "_fields")
        is_nested = short and is_plain and x and id(x) not in outer
        return _nested(x, outer, depth) if is_nested else _plain(x, short)
    if id(x) in outer or (depth is not None and len(outer) >= depth):
        return f"{type(x).__name__}(...)"
    if said is not None:
        return _as_said(x, said(), short, outer, depth)
    first, entries, last = x._nnx_parts()
    inside = short or not getattr(x, "_nnx_shows_arrays", True)
    outer.append(id(x))
    lines = [label + _text(value, inside, outer, depth) for label, value in entries]
    outer.pop()
    if not lines:
        return first + last
    flat = ", ".join(line.removeprefix("value=") for line in lines)
    if short and getattr(x, "_nnx_is_short", False) and "\n" not in flat and len(flat) < _SHORT:
        start, _, note = first.partition(" # ")
        return f"{start}{flat}{last}" + (f"{_MARK}# {note}" if note else "")
    return f"{first}\n{_indented(lines, '  ')}\n{last}"


def _indented(lines: list[str], by: str) -> str:
    """Join entries with commas; a note behind an entry stays there."""
    *others, last = lines
    texts = []
    for line in others:
        start, newline, end = line.rpartition("\n")
        text, mark, note = end.partition(_MARK)
        texts.append(f"{start}{newline}{text},{mark}{note}")
    return by + "\n".join([*texts, last]).replace("\n", f"\n{by}")


def _nested(x: Any, outer: list[int], depth: int | None) -> str:
    """Return the text of a container of Python in a model: on one line if it is short."""
    first, last = ("{", "}") if isinstance(x, dict) else ("[", "]") if isinstance(x, list) else "()"
    names = getattr(type(x), "_fields", None)
    items: Any = [(f"{key!r}: ", value) for key, value in x.items()] if isinstance(x, dict) else []
    if names is not None:
        first, items = f"{type(x).__name__}(", [(f"{k}=", v) for k, v in zip(names, x, strict=True)]
    elif not isinstance(x, dict):
        items = [("", value) for value in x]
    outer.append(id(x))
    lines = [label + _text(value, True, outer, depth) for label, value in items]
    outer.pop()
    flat = ", ".join(lines)
    if len(flat) < _SHORT and "\n" not in flat and _MARK not in flat:
        return f"{first}{flat}{',' if first == '(' and len(lines) == 1 else ''}{last}"
    return f"{first}\n{_indented(lines, '  ')}\n{last}"


def _plain(x: Any, short: bool) -> str:
    """Return the text of what has no parts. In a model, short: no values, no addresses."""
    if isinstance(x, jax.Array | np.ndarray):
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.extended)
        if not is_key and not (short and x.size > 1):
            return repr(x)
        text = f"{x.dtype}[{','.join(map(str, x.shape))}]"
        return f"Tracer({text})" if isinstance(x, jax.core.Tracer) else text
    return short_text(x) if short or callable(x) else repr(x)


def short_text(x: Any) -> str:
    """Return the text of a value on one line: functions and classes by name, and no addresses.

    Example:
        >>> short_text(jax.nn.relu), short_text(np.dtype("int8")), short_text(...)
        ('relu', 'int8', '...')
    """
    if x is ...:
        return "..."
    if isinstance(x, np.dtype):
        return str(x)
    if isinstance(x, functools.partial):
        given = [*map(repr, x.args), *(f"{name}={value!r}" for name, value in x.keywords.items())]
        return without_addresses(f"partial({', '.join([short_text(x.func), *given])})")
    name = getattr(x, "__name__", None) if callable(x) else None
    return name if isinstance(name, str) else without_addresses(repr(x))


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
    return f"{first}{frame.comment}\n{_indented(lines, frame.indent)}\n{frame.end}"
