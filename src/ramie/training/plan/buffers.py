"""Which arrays XLA found room for, by its own account of them."""

import re
from dataclasses import dataclass

from ramie.training.plan.hlo import Instruction, Program, shapes_in
from ramie.training.plan.names import module_of, operation_of
from ramie.training.plan.report import Buffer

__all__ = ["Allocation", "allocations_in", "largest", "temporaries_of"]

_ALLOCATION = re.compile(r"^allocation (\d+): size (\d+), (.*):$")
_VALUE = re.compile(
    r"^ value: <\d+ (.+?)(\{[\d,]*\})?( \(phi\))? @\d+> \(size=(\d+),offset=(\d+)\): (.*)$"
)


@dataclass(frozen=True)
class Allocation:
    """A piece of memory that one or many arrays are put into.

    Attributes:
      bytes: its size.
      kind: ``parameter``, ``output``, ``both`` (an output in the place of an argument),
        ``temporary`` or ``other``.
      values: name of the instruction, size, offset and shape of what is put there.
    """

    bytes: int
    kind: str
    values: tuple[tuple[str, int, int, str], ...]


def allocations_in(text: str) -> tuple[Allocation, ...]:
    """Read XLA's account of memory, without what lies in memories on the chip.

    Example:
        >>> text = '''allocation 0: size 8, parameter 0, shape |f32[2]| at ShapeIndex {}:
        ...  value: <1 x @0> (size=8,offset=0): f32[2]{0}'''
        >>> allocations_in(text)[0].kind
        'parameter'
    """
    found: list[tuple[int, str, list[tuple[str, int, int, str]]]] = []
    for line in text.splitlines():
        allocation, value = _ALLOCATION.match(line), _VALUE.match(line)
        if allocation:
            found.append((int(allocation.group(2)), _kind(allocation.group(3)), []))
        elif value and found:
            name, shape = value.group(1), value.group(6)
            found[-1][2].append((name, int(value.group(4)), int(value.group(5)), shape))
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
    allocations: tuple[Allocation, ...], program: Program, count: int = 10
) -> tuple[Buffer, ...]:
    """Return the largest temporaries; arrays that follow each other in one place count once."""
    by_name = {
        name: instruction
        for computation in program.computations.values()
        for name, instruction in computation.instructions.items()
    }
    places: dict[tuple[int, int, int], list[tuple[str, str]]] = {}
    for number, allocation in enumerate(allocations):
        if allocation.kind == "temporary":
            for name, size, offset, shape in allocation.values:
                if not shape.startswith("("):
                    places.setdefault((number, offset, size), []).append((name, shape))
    order = sorted(places, key=lambda place: -place[2])[:count]
    return tuple(_buffer(place[2], places[place], by_name) for place in order)


def _buffer(size: int, values: list[tuple[str, str]], by_name: dict[str, Instruction]) -> Buffer:
    """Describe a place by the array in it whose origin is known best."""

    def known(value: tuple[str, str]) -> tuple[int, int]:
        one = by_name.get(value[0])
        stack = one.path if one else ""
        return len(module_of(stack)), len(stack)

    name, shape = max(values, key=known)
    one = by_name.get(name)
    stack = one.path if one else ""
    opcode = one.opcode if one else name
    return Buffer(size, _text(shape), module_of(stack), operation_of(stack) or opcode)


def _text(shape: str) -> str:
    shapes = shapes_in(shape)
    return str(shapes[0]) if shapes else shape


def largest(*several: tuple[Buffer, ...], count: int = 10) -> tuple[Buffer, ...]:
    """Return the largest of all buffers, the largest first."""
    every = [buffer for some in several for buffer in some]
    return tuple(sorted(every, key=lambda buffer: -buffer.bytes)[:count])
