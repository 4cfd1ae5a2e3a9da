"""How values are written in a summary: arrays by dtype and shape, containers as an outline.

A value first becomes a plain tree of `ShownArray` and `ShownObject`, which holds no array and no
tracer and can be kept. The tree then becomes lines, indented as in YAML. A line is a list of
pieces, each with its style, so that text from the user is never read as markup.
"""

import dataclasses
import enum
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramie.core import meta

__all__ = [
    "Line",
    "ShownArray",
    "ShownObject",
    "as_rich",
    "bytes_text",
    "describe",
    "outline",
    "size_and_bytes",
    "size_pieces",
    "without_addresses",
    "without_classes",
]

Line = list[tuple[str, str]]
"""Pieces of text, each with the name of its style."""

_DIM = "dim"
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_BYTE_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "KB"))
_PYTHON_SCALARS = (bool, int, float, str, type(None))
_NUMBER_TYPES = (bool, int, float, complex)


@dataclasses.dataclass(frozen=True)
class ShownArray:
    """An array as a summary shows it.

    Attributes:
      shape: its shape.
      dtype: its dtype.
      names: the names of its axes, if a metadata box gives them.
      note: what follows it.
    """

    shape: tuple[int, ...]
    dtype: Any
    names: tuple[Any, ...] | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class ShownObject:
    """Anything that is neither an array nor a container, shown by its `repr` without quotes.

    Attributes:
      obj: the thing itself.
    """

    obj: Any


# From values to trees ------------------------------------------------------------------------


def describe(value: Any) -> Any:
    """Replace arrays and other leaves by what a summary shows of them.

    Args:
      value: a pytree; arrays may be abstract. A type that stands for a dtype counts as a scalar of
        it.

    Returns:
      Dictionaries, lists, tuples, `ShownArray` and `ShownObject`. Dataclasses that are pytrees
      become dictionaries of all their fields, other registered containers lists or dictionaries.
    """
    if isinstance(value, _PYTHON_SCALARS):
        return ShownObject(value)
    if isinstance(value, meta.Partitioned):
        inner = describe(value.value)
        if isinstance(inner, ShownArray):
            return dataclasses.replace(inner, names=tuple(value.names))
        return inner
    if isinstance(value, Mapping):
        return {key: describe(value[key]) for key in _ordered(value)}
    if isinstance(value, list | tuple):
        items = [describe(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    dtype = _dtype_of(value)
    if dtype is not None:
        return ShownArray(tuple(getattr(value, "shape", ())), dtype)
    if jax.tree_util.all_leaves([value]):
        return ShownObject(value)
    return describe(_opened(value))


def _ordered(mapping: Mapping[Any, Any]) -> list[Any]:
    try:
        return sorted(mapping)
    except TypeError:  # keys of several types
        return sorted(mapping, key=str)


def without_classes(tree: Any) -> Any:
    """Turn registered containers into dictionaries and lists, which may hold anything.

    A class of the user may look at its fields, and refuse shapes in place of arrays. Boxes of
    metadata stay, numbers of Python become arrays.

    Args:
      tree: a pytree.
    """
    if isinstance(tree, Mapping):
        return {key: without_classes(value) for key, value in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(map(without_classes, tree))
    if isinstance(tree, meta.AxisMetadata) or not jax.tree_util.tree_leaves(tree):
        return tree
    if jax.tree_util.all_leaves([tree]):
        return jnp.asarray(tree) if isinstance(tree, bool | int | float | complex) else tree
    opened = _opened(tree)
    if not isinstance(opened, dict):
        return without_classes(opened)
    inner = [id(x) for x in jax.tree_util.tree_leaves(tree, is_leaf=lambda x: x is not tree)]
    return {name: without_classes(x) if id(x) in inner else x for name, x in opened.items()}


def _opened(node: Any) -> Any:
    """Turn a registered container into a dictionary or a list of what it holds."""
    if dataclasses.is_dataclass(node):
        return {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    children, _ = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
    names = [getattr(path[0], "name", getattr(path[0], "key", None)) for path, _ in children]
    if children and all(isinstance(name, str) for name in names):
        return {name: child for name, (_, child) in zip(names, children, strict=True)}
    return [child for _, child in children]


def _dtype_of(value: Any) -> Any:
    """Return the dtype that JAX gives to an array or a type, None for anything else."""
    if isinstance(value, type) and (value in _NUMBER_TYPES or issubclass(value, np.generic)):
        dtype: Any = np.dtype(value)
    elif isinstance(value, complex | np.dtype):
        dtype = np.result_type(value)
    else:  # arrays, abstract arrays, and scalar types such as jnp.float32
        dtype = getattr(value, "dtype", None)
    if not isinstance(dtype, np.dtype) and not _is_extended(dtype):
        return None
    if _is_extended(dtype):  # keys
        return dtype
    if jnp.issubdtype(dtype, np.number) or dtype == np.bool_:
        return jax.dtypes.canonicalize_dtype(dtype)
    return None  # text or objects: not an array to JAX


def _is_extended(dtype: Any) -> bool:
    return dtype is not None and bool(jnp.issubdtype(dtype, jax.dtypes.extended))


# Sizes ---------------------------------------------------------------------------------------


def size_and_bytes(tree: Any) -> tuple[int, int]:
    """Count the elements of all arrays in a pytree, and their bytes."""
    size = num_bytes = 0
    for leaf in jax.tree_util.tree_leaves(tree):
        if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
            count = math.prod(leaf.shape)
            size += count
            num_bytes += count * leaf.dtype.itemsize
    return size, num_bytes


def without_addresses(text: str) -> str:
    """Take out where objects lie in memory, which is another place in each run.

    Example:
      >>> without_addresses("<function relu at 0x7f0c>")
      '<function relu>'
    """
    return _ADDRESS.sub("", text)


def bytes_text(num_bytes: int) -> str:
    """Write a number of bytes in the largest decimal unit that it exceeds.

    Example:
      >>> from ramie.core.inspection.summary_text import bytes_text
      >>> bytes_text(1000), bytes_text(3_300_000)
      ('1,000 B', '3.3 MB')
    """
    for unit, name in _BYTE_UNITS:
        if num_bytes > unit:
            return f"{num_bytes / unit:,.1f} {name}"
    return f"{num_bytes:,} B"


def size_pieces(size: int, num_bytes: int) -> Line:
    """Write a number of elements and their bytes; nothing for none."""
    return [(f"{size:,} ", ""), (f"({bytes_text(num_bytes)})", _DIM)] if size else []


# From trees to lines -------------------------------------------------------------------------


def outline(tree: Any) -> list[Line]:
    """Write a tree that `describe` has made as lines; no line for an empty container."""
    if isinstance(tree, dict):
        return [line for key, value in tree.items() for line in _entry(key, value)]
    if isinstance(tree, list | tuple):
        return [line for item in tree for line in _item(item)]
    return [_leaf(tree)]


def _leaf(tree: Any) -> Line:
    if isinstance(tree, ShownArray):
        shape = ",".join(str(size) for size in tree.shape)
        pieces = [(str(tree.dtype), _DIM), (f"[{shape}]", "")]
        if tree.names is not None:
            pieces += [(" ", ""), (f"P{_without_quotes(tree.names)}", _DIM)]
        return [*pieces, (f" {tree.note}", _DIM)] if tree.note else pieces
    if isinstance(tree, ShownObject):
        return [(_without_quotes(tree.obj), "")]
    return [("{}" if isinstance(tree, dict) else "[]", "")]


def _without_quotes(value: Any) -> str:
    text = repr(value).replace("'", "")
    return " ".join(text.split()) if "\n" in text else text


def _is_leaf(tree: Any) -> bool:
    return not isinstance(tree, dict | list | tuple) or not tree


def _entry(key: Any, value: Any) -> list[Line]:
    name = str(key.value if isinstance(key, enum.Enum) else key)
    if _is_leaf(value):
        return [[(f"{name}: ", ""), *_leaf(value)]]
    # A list lies as deep as the name it belongs to: its dashes indent it.
    return [[(f"{name}:", "")], *_indented(outline(value), 2 if isinstance(value, dict) else 0)]


def _item(value: Any) -> list[Line]:
    first, *rest = [_leaf(value)] if _is_leaf(value) else outline(value)
    return [[("- ", ""), *first], *_indented(rest, 2)]


def _indented(lines: Iterable[Line], by: int) -> list[Line]:
    return [[(" " * by, ""), *line] if by else line for line in lines]


def as_rich(lines: Sequence[Line], style: str = "", justify: str | None = None) -> Any:
    """Return lines as a text of Rich, which is imported here.

    Args:
      lines: the lines.
      style: of all of it, beneath that of the pieces.
      justify: where in its cell it stands.
    """
    from rich.text import Text

    text = Text("\n").join([Text.assemble(*line) for line in lines])
    text.style = style
    if justify is not None:
        text.justify = justify  # type: ignore[assignment]
    return text
