"""Traversals: parts of a data structure, named once, then read or replaced without mutation."""

from __future__ import annotations

import abc
import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax

from ramie.trees.nested import is_nested

__all__ = [
    "Traversal",
    "TraverseAttr",
    "TraverseCompose",
    "TraverseEach",
    "TraverseFilter",
    "TraverseId",
    "TraverseItem",
    "TraverseMerge",
    "TraverseTree",
    "t_identity",
]

Update = Callable[[Any], Any]


class Traversal(abc.ABC):
    """A selection of values inside any object of a certain make.

    Traversals are built from `t_identity` by writing the path: attributes, items, and the
    methods below. They never change the data; an update returns a changed copy.

    Example:
        >>> data = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
        >>> second = t_identity.each()["b"]
        >>> list(second.iterate(data))
        [2, 4]
        >>> second.update(lambda x: 10 * x, data)
        [{'a': 1, 'b': 20}, {'a': 3, 'b': 40}]
    """

    @abc.abstractmethod
    def update(self, fn: Update, inputs: Any) -> Any:
        """Return a copy of the data in which the selected values are replaced.

        Args:
            fn: Maps a selected value to the new one.
            inputs: The data.
        """

    @abc.abstractmethod
    def iterate(self, inputs: Any) -> Iterator[Any]:
        """Iterate over the selected values.

        Args:
            inputs: The data.
        """

    def set(self, values: Iterable[Any], inputs: Any) -> Any:
        """Return a copy of the data in which the selected values are the given ones.

        Args:
            values: The new values, in the order of `iterate`.
            inputs: The data.

        Raises:
            ValueError: There are more or fewer values than the traversal selects.
        """
        given = list(values)
        used = 0

        def take(_: Any) -> Any:
            nonlocal used
            if used == len(given):
                raise ValueError(
                    f"Not enough values provided: {len(given)}, but the traversal selects "
                    f"{sum(1 for _ in self.iterate(inputs))}."
                )
            used += 1
            return given[used - 1]

        result = self.update(take, inputs)
        if used < len(given):
            raise ValueError(
                f"Too many values provided: {len(given)}, but the traversal selects {used}."
            )
        return result

    def compose(self, other: Traversal) -> Traversal:
        """Return the traversal that selects with ``other`` inside each value of this one."""
        return TraverseCompose(self, other)

    def merge(self, *traversals: Traversal) -> Traversal:
        """Return the traversal that selects what any of several select, one after another."""
        return self.compose(TraverseMerge(*traversals))

    def each(self) -> Traversal:
        """Return the traversal of the items of the selected lists, tuples and dictionaries."""
        return self.compose(TraverseEach())

    def tree(self) -> Traversal:
        """Return the traversal of the leaves of the selected pytrees."""
        return self.compose(TraverseTree())

    def filter(self, fn: Callable[[Any], bool]) -> Traversal:
        """Return the traversal of those selected values for which ``fn`` is true."""
        return self.compose(TraverseFilter(fn))

    def __getattr__(self, attr: str) -> Traversal:
        if attr.startswith("__") and attr.endswith("__"):
            # Protocols of Python (copy, pickle, NumPy) probe for these; they are no path.
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {attr!r}")
        return self.compose(TraverseAttr(attr))

    def __getitem__(self, key: Any) -> Traversal:
        return self.compose(TraverseItem(key))


class TraverseId(Traversal):
    """Selects the object itself: where every path begins."""

    def update(self, fn: Update, inputs: Any) -> Any:
        """Return ``fn(inputs)``."""
        return fn(inputs)

    def iterate(self, inputs: Any) -> Iterator[Any]:
        """Yield the object."""
        yield inputs


class TraverseMerge(Traversal):
    """Selects with several traversals, one after another.

    Args:
        *traversals: The traversals, each applied to the result of the one before on update.
    """

    def __init__(self, *traversals: Traversal) -> None:
        self._traversals = traversals

    def update(self, fn: Update, inputs: Any) -> Any:
        """Update with each of them in turn."""
        for traversal in self._traversals:
            inputs = traversal.update(fn, inputs)
        return inputs

    def iterate(self, inputs: Any) -> Iterator[Any]:
        """Iterate over what the first selects, then the second, and so on."""
        for traversal in self._traversals:
            yield from traversal.iterate(inputs)


class TraverseCompose(Traversal):
    """Selects with one traversal inside each value that another selects.

    Args:
        x: The outer traversal.
        y: The inner one.
    """

    def __init__(self, x: Traversal, y: Traversal) -> None:
        self._x = x
        self._y = y

    def update(self, fn: Update, inputs: Any) -> Any:
        """Update the parts selected by the inner traversal."""
        return self._x.update(lambda part: self._y.update(fn, part), inputs)

    def iterate(self, inputs: Any) -> Iterator[Any]:
        """Iterate over the parts selected by the inner traversal."""
        for part in self._x.iterate(inputs):
            yield from self._y.iterate(part)


class TraverseFilter(Traversal):
    """Selects the object if it satisfies a condition.

    Args:
        fn: The condition.
    """

    def __init__(self, fn: Callable[[Any], bool]) -> None:
        self._fn = fn

    def update(self, fn: Update, inputs: Any) -> Any:
        """Return ``fn(inputs)`` where the condition holds, else the object as it is."""
        return fn(inputs) if self._fn(inputs) else inputs

    def iterate(self, inputs: Any) -> Iterator[Any]:
        """Yield the object where the condition holds."""
        if self._fn(inputs):
            yield inputs


class TraverseAttr(Traversal):
    """Selects one attribute.

    An update copies the object: dataclasses and named tuples by their own means, others with
    `copy.copy`.

    Args:
        attr: Name of the attribute.
    """

    def __init__(self, attr: str) -> None:
        self._attr = attr

    def _read(self, inputs: Any) -> Any:
        try:
            return getattr(inputs, self._attr)
        except AttributeError:
            raise AttributeError(
                f"A traversal selects the attribute {self._attr!r}, which an object of type "
                f"{type(inputs).__name__} does not have."
            ) from None

    def update(self, fn: Update, inputs: Any) -> Any:
        """Return a copy with the attribute replaced."""
        value = fn(self._read(inputs))
        if isinstance(inputs, tuple) and hasattr(inputs, "_replace"):
            return inputs._replace(**{self._attr: value})
        if dataclasses.is_dataclass(inputs) and not isinstance(inputs, type):
            return dataclasses.replace(inputs, **{self._attr: value})
        result = copy.copy(inputs)
        setattr(result, self._attr, value)
        return result

    def iterate(self, inputs: Any) -> Iterator[Any]:
        """Yield the attribute."""
        yield self._read(inputs)


class TraverseItem(Traversal):
    """Selects one item of a list, tuple, dictionary or any indexable object, or a slice of items.

    Args:
        key: A key, an index, or a slice of a list or tuple, which selects each item in it.
    """

    def __init__(self, key: Any) -> None:
        self._key = key

    def _read(self, inputs: Any, key: Any) -> Any:
        try:
            return inputs[key]
        except (KeyError, IndexError, TypeError) as error:
            raise type(error)(
                f"A traversal selects the item {key!r}, which an object of type "
                f"{type(inputs).__name__} does not have."
            ) from None

    def _indices(self, inputs: Any) -> list[Any]:
        if isinstance(self._key, slice) and isinstance(inputs, (list, tuple)):
            return list(range(*self._key.indices(len(inputs))))
        return [self._key]

    def update(self, fn: Update, inputs: Any) -> Any:
        """Return a copy with the item, or each item of the slice, replaced."""
        changes = {key: fn(self._read(inputs, key)) for key in self._indices(inputs)}
        if is_nested(inputs) and not isinstance(inputs, dict):
            return type(inputs)({**inputs, **changes})
        result = list(inputs) if isinstance(inputs, tuple) else copy.copy(inputs)
        for key, value in changes.items():
            result[key] = value
        return _as_tuple(inputs, result) if isinstance(inputs, tuple) else result

    def iterate(self, inputs: Any) -> Iterator[Any]:
        """Yield the item, or each item of the slice."""
        for key in self._indices(inputs):
            yield self._read(inputs, key)


class TraverseEach(Traversal):
    """Selects the items of a list or tuple, or the values of a dictionary."""

    def update(self, fn: Update, inputs: Any) -> Any:
        """Return a container of the same type with each item replaced."""
        if isinstance(inputs, Mapping):
            values = {key: fn(value) for key, value in inputs.items()}
            return values if type(inputs) is dict else _as_mapping(inputs, values)
        if isinstance(inputs, list):
            return [fn(value) for value in inputs]
        if isinstance(inputs, tuple):
            return _as_tuple(inputs, [fn(value) for value in inputs])
        raise ValueError(
            "each() replaces the items of lists, tuples and dictionaries, but met an object of "
            f"type {type(inputs).__name__}. Use tree() for the leaves of other containers."
        )

    def iterate(self, inputs: Any) -> Iterator[Any]:
        """Yield the items; the values, for a dictionary."""
        if isinstance(inputs, Mapping):
            yield from inputs.values()
            return
        if not isinstance(inputs, Iterable):
            raise ValueError(
                f"each() met an object of type {type(inputs).__name__}, without items."
            )
        yield from inputs


class TraverseTree(Traversal):
    """Selects the leaves of a pytree."""

    def update(self, fn: Update, inputs: Any) -> Any:
        """Return a tree of the same structure with each leaf replaced."""
        return jax.tree_util.tree_map(fn, inputs)

    def iterate(self, inputs: Any) -> Iterator[Any]:
        """Yield the leaves."""
        yield from jax.tree_util.tree_leaves(inputs)


t_identity = TraverseId()
"""The traversal of the object itself, from which others are built."""


def _as_tuple(like: tuple[Any, ...], values: list[Any]) -> tuple[Any, ...]:
    """Make a tuple of the same type; a named one takes its values as arguments."""
    return type(like)(*values) if hasattr(like, "_fields") else tuple(values)


def _as_mapping(like: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    """Make a mapping of the same type, keeping what a dict subclass holds besides its items."""
    if not isinstance(like, dict):
        return type(like)(values)  # type: ignore[call-arg] # a FrozenDict takes what dict takes
    result = copy.copy(like)
    result.update(values)
    return result
