"""Topologies by name, and the devices that they stand for."""

from collections.abc import Mapping

from jax.sharding import Mesh

__all__ = ["device_count", "make_mesh", "topologies"]


def device_count(topology: str) -> int:
    """Return how many devices a topology has; of ``cpu:8``, so many are simulated from now on.

    Raises:
      UnknownTopologyError: the topology is none that the compiler knows.
      MissingExtraError: libtpu is needed, and not installed.
    """
    raise NotImplementedError


def make_mesh(
    topology: str, axes: Mapping[str, int] | None = None, *, explicit: bool = False
) -> Mesh:
    """Return a mesh of the devices of a topology, to lay out abstract arguments over.

    It equals the mesh that `plan` compiles for when it is given the same three.

    Raises:
      UnknownTopologyError: the topology is none that the compiler knows.
      PlanMeshError: the axes do not make as many devices as the topology has.
      MissingExtraError: libtpu is needed, and not installed.
    """
    raise NotImplementedError


def topologies() -> tuple[str, ...]:
    """Return the names of the topologies that the compiler knows, small ones first."""
    raise NotImplementedError
