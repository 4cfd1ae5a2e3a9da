"""Layers of a checkpoint that are stacked along a first axis, or taken apart, leaf by leaf.

No array is read here: a stacked one has the bytes of its parts, one after the other.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ramie.checkpoint.formats.leaf import Leaf, read_array
from ramie.checkpoint.inspecting.contents import nest
from ramie.checkpoint.storage.progress import unwatched
from ramie.errors import CheckpointOptionError
from ramie.trees import towers

__all__ = ["check_options", "rearranged"]

Span = tuple[int, int]


def check_options(old: str, new: str, stack: str | None, unstack: str | None) -> None:
    """Refuse to do both, and to write where the layers are read from meanwhile.

    Raises:
      CheckpointOptionError: if that was asked for.
    """
    if stack is not None and unstack is not None:
        problem = f"it cannot be done together with stack={stack!r}; convert twice"
        raise CheckpointOptionError("unstack", unstack, problem)
    if (stack is not None or unstack is not None) and os.path.realpath(old) == os.path.realpath(
        new
    ):
        raise CheckpointOptionError("destination", new, "it is the source; name a new one")


def rearranged(
    leaves: list[Leaf], separator: str | None, stack: str | None, unstack: str | None
) -> list[Leaf]:
    """Stack layers, or take them apart, in a list of leaves.

    Args:
      leaves: the leaves of a tree.
      separator: what stands between the keys in names of safetensors files.
      stack: the name of layers, as for `linen.stack_layers`, or None.
      unstack: the name of layers, as for `linen.unstack_layers`, or None; with a slash at its end
        the numbers come below the name.

    Raises:
      CheckpointOptionError: if there are no such layers, or they are not alike.
    """
    if stack is None and unstack is None:
        return leaves
    tree = nest([(leaf.path, leaf) for leaf in leaves], separator)
    try:
        if stack is not None:
            tree = towers.stack(tree, stack, _joined, _is_leaf)
        else:
            name = unstack or ""
            below = name.endswith("/")
            tree = towers.unstack(tree, name, _parts, _is_leaf, below=below)
    except ValueError as error:
        option, value = ("stack", stack) if stack is not None else ("unstack", unstack)
        raise CheckpointOptionError(option, value, str(error)) from None
    found: list[Leaf] = []
    _collect(tree, (), found)
    return found


def _is_leaf(x: Any) -> bool:
    return isinstance(x, Leaf)


def _collect(tree: Any, path: tuple[str, ...], found: list[Leaf]) -> None:
    if isinstance(tree, Leaf):
        found.append(tree if tree.path == path else _moved(tree, path))
        return
    for key, value in tree.items():
        _collect(value, (*path, str(key)), found)


def _moved(leaf: Leaf, path: tuple[str, ...]) -> Leaf:
    if leaf.load is None:
        return leaf._replace(path=path)
    return leaf._replace(path=path, load=functools.partial(_load_at, leaf))


def _load_at(leaf: Leaf, path: tuple[str, ...]) -> np.ndarray[Any, Any]:
    with unwatched():  # whoever reads the leaf that stands for it counts the bytes
        return read_array(leaf)


def _joined(layers: Sequence[Any], places: Sequence[str]) -> Any:
    if all(isinstance(layer, Mapping) for layer in layers):
        for layer, place in zip(layers, places, strict=True):
            for key in sorted(set(layers[0]) ^ set(layer)):
                has, lacks = (places[0], place) if key in layers[0] else (place, places[0])
                raise ValueError(
                    f"{has} has {key!r}, but {lacks} has not: only equal layers can be stacked."
                )
        return {
            key: _joined([layer[key] for layer in layers], [f"{place}/{key}" for place in places])
            for key in layers[0]
        }
    for layer, place in zip(layers, places, strict=True):
        if _kind(layer) != _kind(layers[0]):
            raise ValueError(
                f"{places[0]} is {_kind(layers[0])}, but {place} is {_kind(layer)}: only equal "
                "layers can be stacked."
            )
    return _stacked(layers, places)


def _kind(layer: Any) -> str:
    if isinstance(layer, Mapping):
        return f"a mapping of {', '.join(map(str, layer))}"
    if not layer.is_array:
        return f"the value {layer.value!r}"
    key = f" (keys of {layer.note})" if layer.note not in ("", "scalar") else ""
    return f"{layer.kind}{list(layer.shape)}{key}"


def _stacked(parts: Sequence[Leaf], places: Sequence[str]) -> Leaf:
    first = parts[0]
    if not first.is_array:
        if first.value is None or first.value in ({}, [], ()):
            return first
        raise ValueError(
            f"{places[0]} is the plain value {first.value!r}, and only arrays can be stacked."
        )
    assert first.shape is not None
    note = "" if first.note == "scalar" else first.note
    whole = first._replace(shape=(len(parts), *first.shape), note=note)
    if all(part.load is None and part.file == first.file for part in parts):
        return whole._replace(spans=tuple(span for part in parts for span in part.spans))
    return whole._replace(spans=(), load=functools.partial(_load_all, list(parts)))


def _load_all(parts: list[Leaf], path: tuple[str, ...]) -> np.ndarray[Any, Any]:
    with unwatched():
        return np.stack([read_array(part) for part in parts])


def _parts(stacked: Any, place: str) -> list[Any]:
    found: list[tuple[str, int]] = []
    _count(stacked, place, found)
    if not found:
        raise ValueError(f"{place} holds no arrays, so it is not known how many layers there are.")
    count = found[0][1]
    for other, number in found:
        if number != count:
            raise ValueError(
                f"{found[0][0]} has {count} layers, but {other} has {number}: the first axis of "
                "all arrays is that of the layers."
            )
    if not count:
        raise ValueError(f"{found[0][0]} has no layers: its first axis has the length 0.")
    return [_part(stacked, i) for i in range(count)]


def _count(tree: Any, place: str, found: list[tuple[str, int]]) -> None:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            _count(value, f"{place}/{key}", found)
    elif tree.is_array:
        # The last axis of the words of keys is no axis of the keys.
        axes = len(tree.shape) - (tree.note not in ("", "scalar"))
        if axes < 1:
            raise ValueError(f"{place} has no axis, so the layers above it are not stacked.")
        found.append((place, tree.shape[0]))
    elif not (tree.value is None or tree.value in ({}, [], ())):
        raise ValueError(f"{place} is the plain value {tree.value!r}, which has no axis of layers.")


def _part(tree: Any, index: int) -> Any:
    if isinstance(tree, Mapping):
        return {key: _part(value, index) for key, value in tree.items()}
    if not tree.is_array:
        return tree
    part = tree._replace(shape=tree.shape[1:])
    if tree.load is not None:
        return part._replace(load=functools.partial(_load_part, tree, index))
    size = sum(count for _, count in tree.spans) // tree.shape[0]
    return part._replace(spans=tuple(_cut(tree.spans, index * size, size)))


def _load_part(leaf: Leaf, index: int, path: tuple[str, ...]) -> np.ndarray[Any, Any]:
    with unwatched():
        return np.array(read_array(leaf)[index, ...])


def _cut(spans: Sequence[Span], start: int, count: int) -> list[Span]:
    """Return where the bytes from `start` on are of those that lie in spans."""
    found = []
    for offset, length in spans:
        skipped = min(start, length)
        start -= skipped
        taken = min(count, length - skipped)
        count -= taken
        if taken:
            found.append((offset + skipped, taken))
    return found
