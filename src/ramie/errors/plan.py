"""Mistakes in planning a step for devices that are not there."""

from __future__ import annotations

from collections.abc import Sequence

from ramie.errors.base import RamieError

__all__ = ["CompilerFailedError", "PlanArgumentError", "PlanMeshError", "UnknownTopologyError"]


class UnknownTopologyError(RamieError, ValueError):
    """A topology is none that the compiler knows.

    Args:
        name: What was asked for.
        known: Names of topologies that would do, the nearest first.
        reason: Why it is not one of them.
    """

    def __init__(self, name: str, known: Sequence[str], reason: str) -> None:
        super().__init__(
            f"The topology {name!r} is not known: {reason}. Known are, among others: "
            f"{', '.join(known)}. ramie.plan.topologies() lists all of them."
        )
        self.name = name
        self.known = tuple(known)


class PlanMeshError(RamieError, ValueError):
    """The axes of a mesh do not fit the devices of the topology.

    Args:
        message: Which axes, how many devices there are, and what would fit.
    """


class PlanArgumentError(RamieError, ValueError):
    """What was given for the arguments of a step cannot be planned with.

    A leaf without a shape and a dtype, a sharding over an axis that the mesh does not have, or one
    that does not divide the array.

    Args:
        message: Which argument, by its path, what was found, and what to give instead.
    """


class CompilerFailedError(RamieError, RuntimeError):
    """The compiler gave up for another reason than memory.

    Args:
        topology: What was compiled for.
        reason: What the compiler said.
    """

    def __init__(self, topology: str, reason: str) -> None:
        super().__init__(
            f"The compiler failed for {topology}, and not for lack of memory. It says: {reason}"
        )
        self.topology = topology
        self.reason = reason
