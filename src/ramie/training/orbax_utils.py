"""Arguments for Orbax, derived from a tree: how to save its leaves, and as what to restore them.

Orbax comes with the extra `ramie[orbax]` and is imported when one of these functions needs it.
"""

import warnings
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ramie.checkpoint.formats.orbax import import_orbax
from ramie.checkpoint.shardings import on_devices
from ramie.serialization.state_dict import to_state_dict
from ramie.trees.nested import flatten_dict

__all__ = [
    "is_multi_device_array",
    "maybe_construct_transformations",
    "restore_args_from_target",
    "save_args_from_target",
]

_PURPOSE = "describe to Orbax how to save and restore a tree"


def is_multi_device_array(value: Any) -> bool:
    """Tell whether `value` is an array of which several devices hold different parts.

    Args:
        value: Anything.

    Returns:
        True for a `jax.Array` that is neither on one device nor wholly replicated.
    """
    return isinstance(value, jax.Array) and not (
        isinstance(value.sharding, jax.sharding.SingleDeviceSharding) or value.is_fully_replicated
    )


def save_args_from_target(target: Any) -> Any:
    """Make Orbax's `save_args` for a tree.

    Args:
        target: The tree to be saved.

    Returns:
        A tree of `orbax.checkpoint.SaveArgs`, one per leaf.

    Raises:
        MissingExtraError: Orbax is not installed.
    """
    orbax = import_orbax(_PURPOSE)
    return jax.tree.map(lambda leaf: orbax.SaveArgs(), target)


def restore_args_from_target(target: Any, mesh: Mesh | None = None) -> Any:
    """Make Orbax's `restore_args` that bring each leaf back as what it is in `target`.

    Arrays of JAX return with the sharding and dtype they have in `target`, NumPy arrays with their
    dtype, and anything else (numbers, strings) as its own type.

    Args:
        target: A tree like the saved one; its arrays need not have the saved shapes.
            `jax.ShapeDtypeStruct`s with a sharding stand for arrays; where it is over an abstract
            mesh, the mesh of `jax.set_mesh` is meant.
        mesh: Without effect; shardings are read from `target`. Accepted for old programs.

    Returns:
        A tree of `orbax.checkpoint.RestoreArgs`, one per leaf.

    Raises:
        MissingExtraError: Orbax is not installed.
        CheckpointOptionError: A mesh is abstract, and not the one that is set.
    """
    orbax = import_orbax(_PURPOSE)
    if mesh is not None:
        warnings.warn(
            "the argument `mesh` has no effect: shardings are taken from the target's own arrays",
            DeprecationWarning,
            stacklevel=2,
        )

    def restore_args(leaf: Any) -> Any:
        if isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)):
            if leaf.sharding is not None:
                return orbax.ArrayRestoreArgs(
                    restore_type=jax.Array, sharding=leaf.sharding, dtype=leaf.dtype
                )
            return orbax.RestoreArgs(restore_type=np.ndarray)
        if isinstance(leaf, np.ndarray):
            return orbax.RestoreArgs(restore_type=np.ndarray, dtype=leaf.dtype)
        return orbax.RestoreArgs(restore_type=type(leaf))

    return jax.tree.map(restore_args, on_devices(target))


def maybe_construct_transformations(target: Any, transforms: Any | None) -> Any:
    """Make Orbax's `transforms` that let absent values of a target stay absent.

    Args:
        target: The tree to restore into.
        transforms: Transformations of your own, which are then returned as they are.

    Returns:
        `transforms`, or a dict that tells Orbax, for the path of each None in `target`, to take
        the target's value when the checkpoint has none.

    Raises:
        MissingExtraError: Orbax is not installed.
    """
    if transforms is not None:
        return transforms
    orbax = import_orbax(_PURPOSE)
    state = to_state_dict(target)
    flat = flatten_dict(state, sep="/") if isinstance(state, dict) else {"": state}
    return {path: orbax.Transform(use_fallback=True) for path, v in flat.items() if v is None}
