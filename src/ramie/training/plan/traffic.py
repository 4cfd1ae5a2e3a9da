"""Collectives of a compiled program: what devices exchange, and along which axes of the mesh."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ramie.training.plan.hlo import Computation, Instruction, Program
from ramie.training.plan.names import module_of
from ramie.training.plan.report import Collective

__all__ = ["collectives_of", "wire_bytes"]

_KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


@dataclass(frozen=True)
class _Exchange:
    kind: str
    groups: tuple[tuple[int, ...], ...]
    bytes: int
    path: str


def collectives_of(program: Program, mesh: Mapping[str, int]) -> tuple[Collective, ...]:
    """Gather the collectives of a program by kind and axes, the most bytes first."""
    found: dict[tuple[str, tuple[str, ...]], list[tuple[int, _Exchange]]] = {}
    for computation, times, _ in program.executed():
        for exchange in _exchanges(program, computation, math.prod(mesh.values())):
            axes = _axes(exchange.groups, mesh)
            if axes:
                found.setdefault((exchange.kind, axes), []).append((times, exchange))
    rows = []
    for (kind, axes), several in found.items():
        largest = max((exchange for _, exchange in several), key=lambda one: one.bytes)
        total = sum(times * exchange.bytes for times, exchange in several)
        rows.append(Collective(kind, axes, sum(t for t, _ in several), total, largest.path))
    return tuple(sorted(rows, key=lambda row: (-row.bytes, row.kind, row.axes)))


def wire_bytes(collective: Collective, mesh: Mapping[str, int]) -> float:
    """Return how much a device has to receive at least, whatever the algorithm."""
    devices = math.prod(mesh[axis] for axis in collective.axes)
    if collective.kind == "collective-permute":
        return float(collective.bytes)
    share = collective.bytes * (devices - 1) / devices
    return 2 * share if collective.kind == "all-reduce" else share


def _exchanges(program: Program, computation: Computation, devices: int) -> Iterator[_Exchange]:
    for one in computation.instructions.values():
        kind = one.opcode.removesuffix("-start")
        if kind in _KINDS:
            yield _exchange(computation, one, kind, devices)
        elif one.opcode == "fusion":
            for name in one.called:
                for inner in _exchanges(program, program.computations[name], devices):
                    # A sum of which each device keeps its part.
                    scattered = name.startswith("all-reduce-scatter")
                    kind = "reduce-scatter" if scattered else inner.kind
                    yield _Exchange(kind, inner.groups, inner.bytes, module_of(one.path))


def _exchange(computation: Computation, one: Instruction, kind: str, devices: int) -> _Exchange:
    operands = [computation.instructions[name] for name in one.operands]
    size = sum(shape.bytes for operand in operands for shape in operand.shapes)
    if kind == "collective-permute":
        pairs = re.findall(r"\{(\d+),(\d+)\}", one.attribute("source_target_pairs"))
        groups: tuple[tuple[int, ...], ...] = tuple((int(a), int(b)) for a, b in pairs)
    else:
        groups = _groups(one.attribute("replica_groups"), devices)
        size *= len(groups[0]) if kind == "all-gather" else 1
    return _Exchange(kind, groups, size, module_of(one.path))


def _groups(text: str, devices: int) -> tuple[tuple[int, ...], ...]:
    """Read the groups of devices that exchange something, in each way XLA writes them.

    Example:
        >>> _groups("[2,2]<=[2,2]T(1,0)", 4)
        ((0, 2), (1, 3))
        >>> _groups("mesh['a'=2,'b'=2] {'b'}", 4)
        ((0, 1), (2, 3))
    """
    named = re.match(r"mesh\[(.*?)\][^{]*\{(.*)\}", text)
    if named:
        sizes = {name: int(n) for name, n in re.findall(r"'([^']+)'=(\d+)", named.group(1))}
        together = re.findall(r"'([^']+)'", named.group(2))
        places = np.arange(math.prod(sizes.values())).reshape(tuple(sizes.values()))
        order = list(sizes)
        last = [order.index(name) for name in together]
        first = [i for i in range(len(order)) if i not in last]
        count = math.prod(sizes[name] for name in together)
        return _rows(places.transpose(first + last).reshape(-1, count))
    listed = re.match(r"\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", text)
    if listed:
        shape, counted, turned = (
            [int(n) for n in part.split(",")] if part else [] for part in listed.groups()
        )
        places = np.arange(math.prod(counted)).reshape(counted)
        return _rows((places.transpose(turned) if turned else places).reshape(shape))
    rows = [tuple(map(int, row.split(","))) for row in re.findall(r"\{([\d,]+)\}", text)]
    return tuple(rows) or (tuple(range(devices)),)


def _rows(groups: np.ndarray) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(place) for place in row) for row in groups)


def _axes(groups: tuple[tuple[int, ...], ...], mesh: Mapping[str, int]) -> tuple[str, ...]:
    """Return the axes of the mesh that the devices of a group differ in."""
    differ: set[int] = set()
    for group in groups:
        places = np.array(np.unravel_index(np.array(group), tuple(mesh.values())))
        differ |= {i for i, row in enumerate(places) if (row != row[0]).any()}
    return tuple(name for i, name in enumerate(mesh) if i in differ)
