"""Names of axes in the metadata of variables, where a transformation adds or removes an axis."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
from jax.sharding import NamedSharding, PartitionSpec

from ramie.core.meta import PARTITION_NAME
from ramie.nnx.variable.base import Variable

__all__ = ["add_axis", "remove_axis"]

A = TypeVar("A")


def _variables(tree: Any) -> Iterator[Variable[Any]]:
    leaves = jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, Variable))
    return (leaf for leaf in leaves if isinstance(leaf, Variable))


def _new_names(
    variable: Variable[Any], metadata: Mapping[Any, Any]
) -> Iterator[tuple[str, Any, list[Any]]]:
    """List the entries with one name for each dimension, what is new in them, and their names."""
    if PARTITION_NAME not in metadata:
        raise ValueError(
            f'Trying to transform a Partitioned variable but "{PARTITION_NAME}" is not specified '
            f"in transform_metadata: {dict(metadata)}. Say what the axis is called there, or None."
        )
    others = {key: name for key, name in metadata.items() if key != PARTITION_NAME}
    for entry, name in {"out_sharding": metadata[PARTITION_NAME], **others}.items():
        names = variable.get_metadata(entry, None)
        if isinstance(names, NamedSharding):
            names = names.spec
        if isinstance(names, tuple | PartitionSpec):
            yield entry, name, [*names]


def _rename(variable: Variable[Any], entry: str, names: Sequence[Any]) -> None:
    old = variable.get_metadata(entry)
    if isinstance(old, NamedSharding):
        variable.set_metadata(entry, NamedSharding(old.mesh, PartitionSpec(*names)))
    elif isinstance(old, PartitionSpec):
        variable.set_metadata(entry, PartitionSpec(*names))
    else:
        variable.set_metadata(entry, tuple(names))


def add_axis(tree: A, index: int, transform_metadata: Mapping[Any, Any]) -> A:
    """Tell the variables of a tree, in place, that their values have gained an axis.

    Args:
      tree: variables, or any pytree of them.
      index: where the axis stands in the new shape; negative counts from the end.
      transform_metadata: the name of the axis in `out_sharding`, as the entry `PARTITION_NAME`, and
        in other entries with one name for each dimension, under their names.

    Returns:
      The same tree.

    Raises:
      ValueError: if the metadata has no entry `PARTITION_NAME`; its value may be None.

    Differs from Flax: a negative index counts from the end of the grown shape, as JAX does, a
    `PartitionSpec` stays one, and an empty one gets the name, too.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> w = nnx.Param(jnp.ones((5, 2)), out_sharding=("data",), eager_sharding=False)
        >>> nnx.spmd.add_axis(w, 0, {nnx.PARTITION_NAME: "layers"}).out_sharding
        ('layers', 'data')
    """
    for variable in _variables(tree):
        for entry, name, names in _new_names(variable, transform_metadata):
            place = index if index >= 0 else index + len(names) + 1
            names.extend([None] * (place - len(names)))
            names.insert(place, name)
            _rename(variable, entry, names)
        variable.add_axis(index, transform_metadata[PARTITION_NAME])
    return tree


def remove_axis(tree: A, index: int, transform_metadata: Mapping[Any, Any]) -> A:
    """Tell the variables of a tree, in place, that their values lose an axis: `add_axis` backwards.

    Args:
      tree: variables, or any pytree of them.
      index: where the axis stands in the old shape; negative counts from the end.
      transform_metadata: see `add_axis`.

    Returns:
      The same tree.

    Raises:
      ValueError: if the metadata has no entry `PARTITION_NAME`, or another name than it says is at
        the index.
    """
    for variable in _variables(tree):
        for entry, name, names in _new_names(variable, transform_metadata):
            is_there = -len(names) <= index < len(names)
            found = names[index] if is_there else None  # a spec may be shorter than the shape
            if found != name:
                raise ValueError(
                    f"Expected to remove {name!r} at index {index} from "
                    f"{variable.get_metadata(entry)}, but found {found!r}. Transform the "
                    f"{type(variable).__name__} over the axis, and with the transform_metadata, "
                    f"with which it was made, or correct its {entry}."
                )
            if is_there:
                del names[index]
                _rename(variable, entry, names)
        variable.remove_axis(index, transform_metadata[PARTITION_NAME])
    return tree
