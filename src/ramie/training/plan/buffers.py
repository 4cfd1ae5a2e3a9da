"""Which arrays XLA found room for, by its own account of them."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from ramie.training.plan.hlo import Instruction, Program, shapes_in
from ramie.training.plan.makers import Makers
from ramie.training.plan.names import module_of, operation_of
from ramie.training.plan.report import Buffer
from ramie.training.plan.sources import Sources

__all__ = ["Allocation", "Value", "allocations_in", "largest", "temporaries_of"]

_ALLOCATION = re.compile(r"^allocation (\d+): size (\d+), (.*):$")
_VALUE = re.compile(
    r"^ value: <\d+ (.+?)(\{[\d,]*\})?( \(phi\))? @\d+> \(size=(\d+),offset=(\d+)\): (.*)$"
)


class Value(NamedTuple):
    """An array in an allocation.

    Attributes:
      name: of the instruction that makes it.
      result: which of its results it is, empty if there is only one.
      size: in bytes.
      offset: from the start of the allocation.
      shape: as XLA writes it.
    """

    name: str
    result: tuple[int, ...]
    size: int
    offset: int
    shape: str


@dataclass(frozen=True)
class Allocation:
    """A piece of memory that one or many arrays are put into.

    Attributes:
      bytes: its size.
      kind: ``parameter``, ``output``, ``both`` (an output in the place of an argument),
        ``temporary`` or ``other``.
      values: what is put there.
    """

    bytes: int
    kind: str
    values: tuple[Value, ...]


def allocations_in(text: str) -> tuple[Allocation, ...]:
    """Read XLA's account of memory, without what lies in memories on the chip.

    Example:
        >>> text = '''allocation 0: size 8, parameter 0, shape |f32[2]| at ShapeIndex {}:
        ...  value: <1 x @0> (size=8,offset=0): f32[2]{0}'''
        >>> allocations_in(text)[0].kind
        'parameter'
    """
    found: list[tuple[int, str, list[Value]]] = []
    for line in text.splitlines():
        allocation, value = _ALLOCATION.match(line), _VALUE.match(line)
        if allocation:
            found.append((int(allocation.group(2)), _kind(allocation.group(3)), []))
        elif value and found:
            name, place, _, size, offset, shape = value.groups()
            result = tuple(map(int, re.findall(r"\d+", place or "")))
            found[-1][2].append(Value(name, result, int(size), int(offset), shape))
    return tuple(Allocation(size, kind, tuple(values)) for size, kind, values in found)


def _kind(description: str) -> str:
    if "color" in description or "thread-local" in description or "constant" in description:
        return "other"
    is_output = "maybe-live-out" in description
    if re.search(r"\bparameter \d", description):
        return "both" if is_output else "parameter"
    if is_output:
        return "output"
    return "temporary" if "temp" in description else "other"


def temporaries_of(
    allocations: tuple[Allocation, ...],
    program: Program,
    sources: Sources | None = None,
    count: int = 10,
) -> tuple[Buffer, ...]:
    """Return the largest temporaries; arrays that follow each other in one place count once."""
    makers = Makers(program)
    places: dict[tuple[int, int, int], list[Value]] = {}
    for number, allocation in enumerate(allocations):
        if allocation.kind == "temporary":
            for value in allocation.values:
                if not value.shape.startswith("("):
                    places.setdefault((number, value.offset, value.size), []).append(value)
    order = sorted(places, key=lambda place: -place[2])[:count]
    return tuple(_buffer(place[2], places[place], makers, sources) for place in order)


def _buffer(size: int, values: list[Value], makers: Makers, sources: Sources | None) -> Buffer:
    """Describe a place by the array in it whose origin is known best."""
    found = [(makers.of(value.name, value.result), value) for value in values]

    def known(pair: tuple[Instruction | None, Value]) -> tuple[int, int]:
        stack = pair[0].path if pair[0] else ""
        return len(module_of(stack)), len(stack)

    one, value = max(found, key=known)
    if one is None:
        return Buffer(size, _text(value.shape), "", value.name)
    operation = operation_of(one.path) or one.opcode
    source = sources.line(one.frame) if sources else ""
    return Buffer(size, _text(value.shape), module_of(one.path), operation, source)


def _text(shape: str) -> str:
    shapes = shapes_in(shape)
    return str(shapes[0]) if shapes else shape


def largest(*several: tuple[Buffer, ...], count: int = 10) -> tuple[Buffer, ...]:
    """Return the largest of all buffers, the largest first."""
    every = [buffer for some in several for buffer in some]
    return tuple(sorted(every, key=lambda buffer: -buffer.bytes)[:count])
