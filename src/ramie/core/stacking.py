"""Variables of a tower of equal layers: one entry a layer, or stacked along a first axis."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ramie.core import meta
from ramie.trees import towers

__all__ = ["Tell", "join_layers", "part_layers", "stack_layers", "unstack_layers"]

A = TypeVar("A")
Tell = Callable[[Any], Any]
"""Lets the metadata of a tree describe one axis more, or one less."""


def stack_layers(tree: A, name: str = "layers", *, partition_name: str | None = None) -> A:
    """Stack the variables of ``layers_0``, ``layers_1`` and so on as one entry ``layers``.

    So what `linen.Repeat` makes with ``scan=False`` becomes what it makes with ``scan=True``, bit
    for bit. Everything else in the tree stays as it is.

    Args:
      tree: variables, or any pytree that holds such entries: the state of an optimizer, a
        `TrainState`. Entries with only a number below `name` are layers, too.
      name: what the layers are called; ``encoder/layers`` takes only those below ``encoder``.
      partition_name: what metadata boxes call the new axis.

    Returns:
      A tree of the same classes. Arrays of NumPy stay such, abstract ones abstract.

    Raises:
      ValueError: if there are no such layers, if one is missing, if they differ in structure,
        metadata, shapes or dtypes, or if the name is taken.

    Example:
      >>> import jax.numpy as jnp, ramie.linen as nn
      >>> params = {f"layers_{i}": {"bias": jnp.full(2, i)} for i in range(3)}
      >>> nn.stack_layers(params)["layers"]["bias"].tolist()
      [[0, 0], [1, 1], [2, 2]]
    """
    params = {meta.PARTITION_NAME: partition_name}

    def join(layers: Sequence[Any], places: Sequence[str]) -> Any:
        return join_layers(layers, places, lambda made: meta.add_axis(made, 0, params))

    made: A = towers.stack(tree, name, join, meta.is_axis_metadata)
    return made


def unstack_layers(tree: A, name: str = "layers", *, partition_name: str | None = None) -> A:
    """Divide the entry ``layers`` into ``layers_0``, ``layers_1`` and so on: `stack_layers` undone.

    Args:
      tree: variables, or any pytree that holds such an entry.
      name: what the layers are called; ``encoder/layers`` takes only those below ``encoder``.
      partition_name: what metadata boxes call the axis.

    Raises:
      ValueError: if there is no such entry, if its arrays have first axes of several lengths or
        none, if the axis has another name, or if a name is taken.

    Example:
      >>> import jax.numpy as jnp, ramie.linen as nn
      >>> params = {"layers": {"bias": jnp.arange(6).reshape(3, 2)}}
      >>> {name: layer["bias"].tolist() for name, layer in nn.unstack_layers(params).items()}
      {'layers_0': [0, 1], 'layers_1': [2, 3], 'layers_2': [4, 5]}
    """
    params = {meta.PARTITION_NAME: partition_name}

    def part(stacked: Any, place: str) -> Sequence[Any]:
        return part_layers(stacked, place, lambda held: meta.remove_axis(held, 0, params))

    made: A = towers.unstack(tree, name, part, meta.is_axis_metadata)
    return made


def join_layers(layers: Sequence[Any], places: Sequence[str], tell: Tell) -> Any:
    """Stack the variables of layers.

    Args:
      layers: their trees.
      places: their paths, for messages.
      tell: lets the metadata of the result describe the new axis.

    Raises:
      ValueError: if they are not alike.
    """
    found: list[tuple[Any, Any]] = [jax.tree_util.tree_flatten_with_path(layer) for layer in layers]
    (first, treedef), *others = found
    for (leaves, other), place in zip(others, places[1:], strict=True):
        if other != treedef:
            here, there = ({_text(path) for path, _ in part} for part in (first, leaves))
            _refuse_other_paths(here, there, places[0], place)
            raise ValueError(
                f"{places[0]} and {place} differ in structure or in metadata of their variables, "
                "and only equal layers can be stacked."
            )
    columns = zip(*(leaves for leaves, _ in found), strict=True)
    values = [
        _stacked_leaf([x for _, x in column], _text(column[0][0]), places) for column in columns
    ]
    return tell(treedef.unflatten(values))


def _refuse_other_paths(here: set[str], there: set[str], first: str, other: str) -> None:
    for path in sorted(here ^ there):
        has, lacks = (first, other) if path in here else (other, first)
        raise ValueError(
            f"{has} has {path!r}, but {lacks} has not: only equal layers can be stacked."
        )


def _stacked_leaf(parts: Sequence[Any], path: str, places: Sequence[str]) -> Any:
    kinds = [(tuple(jnp.shape(x)), _dtype(x)) for x in parts]
    for kind, place in zip(kinds, places, strict=True):
        if kind != kinds[0]:
            (shape, dtype), (other, other_dtype) = kinds[0], kind
            raise ValueError(
                f"{places[0]}/{path} is {dtype}{list(shape)}, but {place}/{path} is "
                f"{other_dtype}{list(other)}: only equal layers can be stacked."
            )
    if any(isinstance(x, jax.ShapeDtypeStruct) for x in parts):
        return jax.eval_shape(lambda *leaves: jnp.stack(leaves), *parts)
    if all(isinstance(x, np.ndarray | np.generic) for x in parts):
        return np.stack(parts)
    return jnp.stack(parts)


def _dtype(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else jnp.result_type(x)


def part_layers(stacked: Any, place: str, tell: Tell) -> list[Any]:
    """Divide stacked variables along their first axis.

    Args:
      stacked: their tree.
      place: its path, for messages.
      tell: lets the metadata of a tree describe one axis less.

    Raises:
      ValueError: if the arrays have no common first axis.
    """
    treedef: Any
    leaves, treedef = jax.tree_util.tree_flatten_with_path(tell(stacked))
    count: int | None = None
    first = ""
    for path, x in leaves:
        shape = jnp.shape(x)
        if not shape:
            raise ValueError(
                f"{place}/{_text(path)} has no axis, so the layers of {place} are not stacked."
            )
        if count is None:
            count, first = shape[0], _text(path)
        if shape[0] != count:
            raise ValueError(
                f"{place}/{first} has {count} layers, but {place}/{_text(path)} has {shape[0]}: "
                "the first axis of all arrays is that of the layers."
            )
    if not count:
        raise ValueError(f"{place} holds no arrays, so it is not known how many layers there are.")
    columns = [_divided(x, count) for _, x in leaves]
    return [treedef.unflatten([column[i] for column in columns]) for i in range(count)]


def _divided(x: Any, count: int) -> Sequence[Any]:
    if isinstance(x, jax.ShapeDtypeStruct):
        return [jax.eval_shape(lambda stacked: stacked[0], x)] * count
    if isinstance(x, np.ndarray):
        return [x[i, ...].copy() for i in range(count)]
    return [jnp.asarray(x)[i] for i in range(count)]


def _text(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
