"""Layers that look alike: subtrees whose bytes differ in nothing but the values of their arrays.

A model of many layers is saved as many subtrees of the same names, shapes and dtypes. When one of
them was read with care, and the same bytes follow with other values, NumPy compares many layers at
once, and takes their values apart array by array instead of entry by entry.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

__all__ = ["BLOCK", "LONGEST_RUN", "SMALL", "Form", "Forms", "Layout", "layout_of", "unstack"]

SMALL = 1 << 12
"""Bytes of the largest arrays that may share memory with others."""
BLOCK = 1 << 16
"""Bytes that are shared at most."""
LONGEST_RUN = 256
"""Arrays that share memory at most."""

_AT_ONCE = 16
_DEEPEST = 16
_SHAREABLE = (type(None), bool, int, float, complex, str, bytes, np.generic)

Rows = np.ndarray[Any, Any]


class Form(NamedTuple):
    """What is known of a dict of arrays.

    Attributes:
      level: the very dict.
      shapes: those of its arrays, in order.
      dtypes: likewise.
    """

    level: dict[Any, Any]
    shapes: list[tuple[int, ...]]
    dtypes: list[np.dtype[Any]]


Forms = dict[int, Form]
"""What is known of dicts, by their ids: asking thousands of new arrays again takes a while."""


def unstack(rows: Rows, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterable[Rows]:
    """Return an array of a shape and dtype for each row of bytes; they share memory."""
    block = np.empty((len(rows), *shape), dtype)
    block.reshape(len(rows), -1).view(np.uint8)[:] = rows
    # Iterating is fast, but gives scalars where the arrays have no axes.
    return block if shape else [block[index, ...] for index in range(len(block))]


class _Node(Protocol):
    """A part of a layer."""

    def build(self, rows: Rows, forms: Forms) -> Iterable[Any]:
        """Return this part of each layer; a layer is a row of bytes. Notes the forms of dicts."""
        ...


class _Array:
    """An array, whose bytes begin at a place in a layer."""

    def __init__(self, at: int, array: np.ndarray[Any, Any]) -> None:
        self.span = slice(at, at + array.nbytes)
        self.shape, self.dtype = array.shape, array.dtype

    def build(self, rows: Rows, forms: Forms) -> Iterable[Rows]:
        return unstack(rows[:, self.span], self.shape, self.dtype)


class _Same:
    """A value that is the same in all layers and cannot be changed."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def build(self, rows: Rows, forms: Forms) -> list[Any]:
        return [self._value] * len(rows)


class _Level:
    """A dict."""

    def __init__(self, keys: list[Any], nodes: list[_Node]) -> None:
        self._keys, self._nodes = keys, nodes
        arrays = [node for node in nodes if isinstance(node, _Array)]
        self._has_arrays_only = len(arrays) == len(nodes)
        self._shapes = [array.shape for array in arrays]
        self._dtypes = [array.dtype for array in arrays]

    def build(self, rows: Rows, forms: Forms) -> list[dict[Any, Any]]:
        if not self._nodes:
            return [{} for _ in rows]
        # The arrays of a layer are made one after another, and will lie so in memory.
        columns = zip(*[node.build(rows, forms) for node in self._nodes], strict=True)
        levels = [dict(zip(self._keys, values, strict=True)) for values in columns]
        if self._has_arrays_only:
            shapes, dtypes = self._shapes, self._dtypes
            forms.update((id(level), Form(level, shapes, dtypes)) for level in levels)
        return levels


class Layout:
    """How the bytes of a layer are to be read; made by `layout_of`.

    Attributes:
      length: of the bytes.
      head: those before the first array.
      most: how many layers may be built at once.
    """

    def __init__(self, text: bytes, level: _Level, arrays: list[_Array]) -> None:
        largest = max(array.span.stop - array.span.start for array in arrays)
        self.length, self.head = len(text), text[: arrays[0].span.start]
        self.most = min(LONGEST_RUN, BLOCK // largest)
        self._level = level
        is_fixed = np.ones(len(text), bool)
        for array in arrays:
            is_fixed[array.span] = False
        self._fixed = np.flatnonzero(is_fixed)
        self._text = np.frombuffer(text, np.uint8)[self._fixed]

    def count_alike(self, rows: Rows) -> int:
        """Return how many rows of bytes, from the first on, end in layers like this one."""
        places = self._fixed + (rows.shape[1] - self.length)
        # A few at a time, in memory that is in use: to be given more takes longer than comparing.
        for start in range(0, len(rows), _AT_ONCE):
            fits = (rows[start : start + _AT_ONCE].take(places, axis=1) == self._text).all(axis=1)
            if not fits.all():
                return start + int(fits.argmin())
        return len(rows)

    def build(self, rows: Rows, forms: Forms) -> list[dict[Any, Any]]:
        """Return the layers that rows of bytes end in, for which `count_alike` was asked.

        Args:
          rows: the bytes.
          forms: takes what is known of the dicts in the layers.
        """
        return self._level.build(rows[:, rows.shape[1] - self.length :], forms)


def layout_of(
    text: bytes, layer: dict[Any, Any], places: Sequence[tuple[int, np.ndarray[Any, Any]]]
) -> Layout | None:
    """Return how the bytes of a layer are to be read, or None if others have to be read with care.

    Args:
      text: the bytes of the layer.
      layer: what was read from them.
      places: for each array in the layer where its bytes begin, in order.
    """
    arrays: list[_Array] = []
    level = _plan(layer, iter(places), arrays, _DEEPEST)
    if not isinstance(level, _Level) or not arrays or len(arrays) != len(places):
        return None
    return Layout(text, level, arrays)


def _plan(
    value: Any,
    places: Iterator[tuple[int, np.ndarray[Any, Any]]],
    arrays: list[_Array],
    depth: int,
) -> _Node | None:
    """Return how to read one part of a layer; appends its arrays. None if it is not known."""
    if type(value) is dict:
        nodes = []
        for item in value.values():
            node = _plan(item, places, arrays, depth - 1) if depth else None
            if node is None:
                return None
            nodes.append(node)
        return _Level(list(value), nodes)
    if type(value) is np.ndarray:
        at, array = next(places, (0, None))
        # Booleans have to be looked at one by one.
        if array is not value or not 0 < value.nbytes <= SMALL or value.dtype == np.bool_:
            return None
        arrays.append(_Array(at, value))
        return arrays[-1]
    return _Same(value) if isinstance(value, _SHAREABLE) else None
