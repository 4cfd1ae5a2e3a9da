"""Laying the value of a new variable out over devices, as its metadata says."""

from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from ramie.nnx.variable.metadata import Metadata

__all__ = ["placed"]


def placed(value: Any, metadata: Metadata, what: str) -> Any:
    """Place a value by the entry `out_sharding`, unless the entry `eager_sharding` is off.

    Args:
      value: an array; anything else stays as it is.
      metadata: of the variable. An entry `mesh` is used before the surrounding mesh.
      what: what to call the variable in a message.

    Raises:
      ValueError: if there is no mesh.
    """
    names = metadata.get("out_sharding")
    if names is None or not metadata["eager_sharding"] or not isinstance(value, jax.Array):
        return value
    spec = names if isinstance(names, PartitionSpec) else PartitionSpec(*names)
    mesh = metadata.get("mesh")
    if mesh is None:
        mesh = jax.sharding.get_abstract_mesh()
        if mesh.empty:
            raise ValueError(
                f"An auto mesh context or metadata is required to make a {what} with "
                f"out_sharding={names!r}: make it inside `with jax.set_mesh(mesh):`, give it "
                "mesh=..., or switch the placing off with eager_sharding=False."
            )
    return jax.lax.with_sharding_constraint(value, NamedSharding(mesh, spec))
