"""Shardings that a target asks for: what they can hold, and those of an abstract mesh."""

from collections.abc import Iterable
from typing import Any

import jax
from jax.sharding import AbstractMesh, NamedSharding

from ramie.errors import CheckpointOptionError

__all__ = ["can_hold", "on_devices"]


def can_hold(sharding: Any, shape: tuple[int, ...], dtype: Any) -> bool:
    """Tell whether JAX can place an array so without a change of its shape or dtype.

    Args:
      sharding: the sharding.
      shape: the shape of the array.
      dtype: its dtype, which may be one of 64 bits that JAX does not take.
    """
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        return False
    try:
        sharding.shard_shape(shape)
    except (ValueError, IndexError):
        return False
    return True


def on_devices(target: Any) -> Any:
    """Return a target whose shardings name devices.

    Under `jax.set_mesh`, `jax.eval_shape` gives structs whose shardings are over an abstract mesh,
    which has axes and no devices. The mesh that is set has both.

    Args:
      target: any pytree, or None; returned as it is if there is nothing to do.

    Raises:
      CheckpointOptionError: if no mesh is set, or one with other axes.
    """
    try:
        leaves, structure = jax.tree.flatten_with_path(target)
    except ValueError:  # keys that JAX cannot sort, as 1 and "a": no tree that it made
        return target
    if not any(_is_abstract(leaf) for _, leaf in leaves):
        return target
    return jax.tree.unflatten(
        structure,
        [_placed(keys, leaf) if _is_abstract(leaf) else leaf for keys, leaf in leaves],
    )


def _is_abstract(leaf: Any) -> bool:
    sharding = leaf.sharding if isinstance(leaf, jax.ShapeDtypeStruct) else None
    return isinstance(sharding, NamedSharding) and isinstance(sharding.mesh, AbstractMesh)


def _placed(keys: Iterable[Any], leaf: Any) -> Any:
    sharding = leaf.sharding
    if sharding.mesh.empty:
        return leaf.update(sharding=None)
    try:
        mesh = jax.sharding.get_mesh()
    except ValueError:  # JAX is tracing
        mesh = None
    if mesh is not None and dict(mesh.shape) == dict(sharding.mesh.shape):
        there = NamedSharding(mesh, sharding.spec, memory_kind=sharding.memory_kind)
        return leaf.update(sharding=there)
    is_set = "no mesh is set"
    if mesh is not None and not mesh.empty:
        is_set = f"the mesh that is set has the axes {dict(mesh.shape)}"
    raise CheckpointOptionError(
        f"sharding of {jax.tree_util.keystr(tuple(keys))} in the target",
        sharding,
        f"its mesh is abstract, with the axes {dict(sharding.mesh.shape)}, and {is_set}; restore "
        "inside of `with jax.set_mesh(mesh):`, or give shardings over a mesh of devices",
    )
