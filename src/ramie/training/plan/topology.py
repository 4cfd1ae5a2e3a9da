"""Topologies by name, and the meshes of their devices."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from jax.sharding import AbstractMesh, AxisType

from ramie.errors import PlanMeshError, UnknownTopologyError
from ramie.training.plan.chips import CHIPS, Chip

__all__ = ["Topology", "device_count", "make_mesh", "parse", "topologies"]

_PLANE = "1x1 2x2 2x4 4x4 4x8 8x8 8x16 16x16"
_SPACE = "1x1x1 2x2x1 2x2x2 2x2x4 2x4x4 4x4x4 4x4x8 4x8x8 8x8x8 8x8x16 8x16x16 16x16x16 16x16x24"
_MOST_CHIPS = 9216  # of a pod of TPU7x, the largest
_SIMULATED = 4096


@dataclass(frozen=True)
class Topology:
    """A topology that was understood.

    Attributes:
      name: as it was written.
      platform: ``tpu``, or ``cpu`` for simulated devices.
      chip: the row of `CHIPS`; None for simulated devices.
      devices: how many devices JAX will count.
    """

    name: str
    platform: str
    chip: Chip | None
    devices: int


def topologies() -> tuple[str, ...]:
    """Return names of topologies that can be planned for, small ones first.

    They are one chip, and the common shapes of each kind. The compiler takes others too: each side
    of a v5e, v6e, v5p or TPU7x may be any even number, the third one any.

    Example:
        >>> "v5p:2x2x1" in topologies()
        True
    """
    names = []
    for chip in CHIPS.values():
        shapes = _PLANE if chip.dimensions == 2 else _SPACE
        names += [f"{chip.name}:{shape}" for shape in shapes.split()]
    return tuple(names)


def parse(name: str) -> Topology:
    """Read the name of a topology.

    Raises:
      UnknownTopologyError: it is none that can be planned for.

    Example:
        >>> parse("v5e:4x4").devices, parse("cpu:8").platform
        (16, 'cpu')
    """
    kind, _, shape = name.partition(":")
    if kind == "cpu":
        if not re.fullmatch(r"[1-9][0-9]{0,5}", shape) or int(shape) > _SIMULATED:
            raise _unknown(name, f"write cpu:8 for eight simulated devices, {_SIMULATED} at most")
        return Topology(name, "cpu", None, int(shape))
    if kind not in CHIPS:
        raise _unknown(name, f"there is no chip {kind!r}, only {', '.join(CHIPS)} and cpu")
    chip = CHIPS[kind]
    example = "2x4" if chip.dimensions == 2 else "2x2x4"
    if not re.fullmatch("x".join(["[1-9][0-9]{0,3}"] * chip.dimensions), shape):
        raise _unknown(name, f"the shape of a {kind} slice is written like {example}")
    sides = [int(side) for side in shape.split("x")]
    # The compiler of newer versions dies of shapes without chips: it is only asked for others.
    if math.prod(sides) != 1 and (sides[0] % 2 or sides[1] % 2):
        raise _unknown(name, "a host has 2x2 chips, so that the first two sides are even")
    if math.prod(sides) > _MOST_CHIPS:
        raise _unknown(name, f"no pod has more than {_MOST_CHIPS} chips")
    return Topology(name, "tpu", chip, math.prod(sides) * chip.devices)


def device_count(topology: str) -> int:
    """Return how many devices a topology has.

    Raises:
      UnknownTopologyError: it is none that can be planned for.

    Example:
        >>> device_count("v5p:8x8x4"), device_count("tpu7x:2x2x1")
        (256, 8)
    """
    return parse(topology).devices


def make_mesh(
    topology: str, axes: Mapping[str, int] | None = None, *, explicit: bool = False
) -> AbstractMesh:
    """Return a mesh of the devices of a topology, to lay out abstract arguments over.

    It equals the mesh that `plan` compiles for when it is given the same three. The devices need
    not be there, so it is abstract: good for `NamedSharding` and constraints, not for arrays.

    Args:
      topology: its name.
      axes: the size of each axis, in order; one axis ``data`` by default. One of them may be -1:
        it then takes all devices that the others leave.
      explicit: whether the axes are explicit, as those of `jax.make_mesh`.

    Raises:
      UnknownTopologyError: the topology is none that can be planned for.
      PlanMeshError: the axes do not make as many devices as the topology has.

    Example:
        >>> dict(make_mesh("v5e:2x4", {"data": 2, "model": -1}).shape)
        {'data': 2, 'model': 4}
    """
    devices = device_count(topology)
    sizes = _complete(dict(axes or {"data": devices}), devices, topology)
    kind = AxisType.Explicit if explicit else AxisType.Auto
    return AbstractMesh(tuple(sizes.values()), tuple(sizes), axis_types=(kind,) * len(sizes))


def _complete(sizes: dict[str, int], devices: int, topology: str) -> dict[str, int]:
    """Return the sizes of all axes, with a number in the place of -1."""
    written = ", ".join(f"{name}={size}" for name, size in sizes.items())
    if any(isinstance(size, bool) or not isinstance(size, int) for size in sizes.values()):
        raise PlanMeshError(f"The axes of a mesh have whole numbers as sizes, not {written}.")
    open_axes = [name for name, size in sizes.items() if size == -1]
    known = math.prod(size for size in sizes.values() if size != -1)
    if len(open_axes) == 1 and known > 0 and devices % known == 0:
        sizes[open_axes[0]] = devices // known
    if any(size < 1 for size in sizes.values()) or math.prod(sizes.values()) != devices:
        raise PlanMeshError(
            f"The mesh {written} does not fit {topology}, which has {devices} devices: the sizes "
            "have to make that product. One of them may be -1, for what the others leave."
        )
    return sizes


def _unknown(name: str, reason: str) -> UnknownTopologyError:
    chip = name.partition(":")[0]
    of_chip = [known for known in topologies() if known.partition(":")[0] == chip]
    examples = [f"{kind}:{'2x4' if CHIPS[kind].dimensions == 2 else '2x2x2'}" for kind in CHIPS]
    return UnknownTopologyError(name, of_chip or [*examples, "cpu:8"], reason)
