"""The text of a compiled program: computations, instructions, shapes, and how often loops run.

XLA's text is what all its versions and platforms have in common: ``%name = shape opcode(operands),
attributes``, one instruction a line.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Computation", "Instruction", "Program", "Shape", "parse", "shapes_in"]

_SHAPE = re.compile(r"([a-z]+[0-9a-z]*)\[([0-9,<=]*)\](?:\{([^}]*)\})?")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
_OPCODE = re.compile(r"\s*([a-z][\w\-]*)\(")
_CALLED = re.compile(
    r"(?:calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)"
    r"|(?:branch_computations|called_computations)=\{([^}]*)\}"
)
_BITS = {"pred": 8, "token": 0, "opaque": 0, "tuple": 0}


@dataclass(frozen=True)
class Shape:
    """One array.

    Attributes:
      dtype: as XLA calls it, ``bf16``.
      sizes: the size of each dimension.
      in_hbm: whether it lies in the memory of the device, rather than in one on the chip.
    """

    dtype: str
    sizes: tuple[int, ...]
    in_hbm: bool = True

    @property
    def bytes(self) -> int:
        """Its size, without what a layout adds."""
        return -(-math.prod(self.sizes) * _bits(self.dtype) // 8)

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.sizes))}]"


@dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: of its result.
      shapes: of its results; more than one if it is a tuple.
      opcode: what it does.
      operands: names of instructions.
      inside: the text between the parentheses.
      attributes: the text behind them.
    """

    name: str
    shapes: tuple[Shape, ...]
    opcode: str
    operands: tuple[str, ...]
    inside: str
    attributes: str

    def attribute(self, name: str) -> str:
        """Return what an attribute says, up to the next comma outside of braces; or nothing."""
        found = re.search(rf"\b{name}=", self.attributes)
        if found is None:
            return ""
        rest, depth = self.attributes[found.end() :], 0
        for position, letter in enumerate(rest):
            depth += (letter in "{[(") - (letter in "}])")
            if letter == "," and depth == 0:
                return rest[:position]
        return rest

    @property
    def path(self) -> str:
        """The name stack of JAX, with the operation as its last part."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found.group(1).replace("\\'", "'") if found else ""

    @property
    def frame(self) -> int:
        """The number of the call in the user's code that made it, 0 where none is said."""
        found = re.search(r"\bstack_frame_id=(\d+)", self.attributes)
        return int(found.group(1)) if found else 0

    @property
    def called(self) -> tuple[str, ...]:
        """Names of the computations that it runs once: of a fusion, a call, branches."""
        names: list[str] = []
        for one, several in _CALLED.findall(self.attributes):
            names += [one] if one else [name.strip(" %") for name in several.split(",")]
        return tuple(names)


@dataclass
class Computation:
    """A list of instructions.

    Attributes:
      instructions: by name, in the order in which they run.
      root: the name of the one that is its result.
    """

    instructions: dict[str, Instruction] = dataclasses.field(default_factory=dict)
    root: str = ""

    def parameters(self) -> list[Instruction]:
        """Return its parameters by number."""
        found = [one for one in self.instructions.values() if one.opcode == "parameter"]
        return sorted(found, key=lambda one: int(one.inside))


@dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      entry: the name of the computation that runs first.
      computations: by name.
    """

    entry: str
    computations: dict[str, Computation]

    def executed(self) -> Iterator[tuple[Computation, int, bool]]:
        """Yield each computation, how often it runs, and whether that is known.

        Those that fusions and reductions are made of are left out: they are parts of an
        instruction. Of branches all are counted, each once.
        """
        yield from self._from(self.entry, 1, True)

    def _from(self, name: str, times: int, known: bool) -> Iterator[tuple[Computation, int, bool]]:
        computation = self.computations.get(name)
        if computation is None:
            return
        yield computation, times, known
        for instruction in computation.instructions.values():
            if instruction.opcode == "while":
                trips = _trips(self.computations, computation, instruction)
                body = instruction.attribute("body").strip("%")
                yield from self._from(body, times * (trips or 1), known and trips is not None)
            elif instruction.opcode in ("call", "conditional", "async-start"):
                for called in instruction.called:
                    yield from self._from(called, times, known)


@functools.lru_cache(maxsize=64)
def _bits(dtype: str) -> int:
    if dtype in _BITS:
        return _BITS[dtype]
    found = re.search(r"\d+", dtype)
    return int(found.group()) if found else 0


def shapes_in(text: str) -> tuple[Shape, ...]:
    """Return the arrays of a shape, those of a tuple in order.

    Example:
        >>> [str(shape) for shape in shapes_in("(f32[8,2]{1,0}, bf16[4]{0:T(256)S(1)})")]
        ['f32[8,2]', 'bf16[4]']
    """
    found = []
    for dtype, sizes, layout in _SHAPE.findall(text):
        numbers = tuple(int(size.strip("<=")) for size in sizes.split(",") if size)
        space = re.search(r"S\((\d+)\)", layout)
        found.append(Shape(dtype, numbers, space is None or space.group(1) == "0"))
    return tuple(found)


def parse(text: str) -> Program:
    """Read the text of a compiled program.

    Example:
        >>> program = parse('''HloModule m
        ... ENTRY %main (x: f32[2]) -> f32[2] {
        ...   %x = f32[2]{0} parameter(0)
        ...   ROOT %y = f32[2]{0} tanh(%x), metadata={op_name="jit(f)/tanh"}
        ... }''')
        >>> program.computations["main"].instructions["y"].path
        'jit(f)/tanh'
    """
    computations: dict[str, Computation] = {}
    entry, current = "", Computation()
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header:
            current = computations[header.group(2)] = Computation()
            entry = header.group(2) if header.group(1) else entry
            continue
        instruction = _instruction(line)
        if instruction is not None:
            current.instructions[instruction.name] = instruction
            if line.lstrip().startswith("ROOT "):
                current.root = instruction.name
    return Program(entry, computations)


def _instruction(line: str) -> Instruction | None:
    start = _LINE.match(line)
    if start is None:
        return None
    end = start.end()
    shape_end = _closing(line, end) if line[end : end + 1] == "(" else line.find(" ", end)
    opcode = _OPCODE.match(line, shape_end)
    if shape_end < 0 or opcode is None:
        return None
    close = _closing(line, opcode.end() - 1)
    inside = line[opcode.end() : close - 1]
    operands = tuple(re.findall(r"%([\w.\-]+)", inside))
    shapes = shapes_in(line[end:shape_end])
    return Instruction(
        start.group(2), shapes, opcode.group(1), operands, inside, line[close:].strip(", ")
    )


def _closing(text: str, start: int) -> int:
    """Return where the parenthesis that opens at `start` has been closed."""
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] == "(") - (text[position] == ")")
        if depth == 0:
            return position + 1
    return len(text)


def _trips(
    computations: dict[str, Computation], caller: Computation, loop: Instruction
) -> int | None:
    """Return how often a loop runs, None where that depends on values."""
    said = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes)
    if said:
        return int(said.group(1))
    condition = computations.get(loop.attribute("condition").strip("%"))
    body = computations.get(loop.attribute("body").strip("%"))
    before = caller.instructions.get(loop.operands[0]) if loop.operands else None
    if condition is None or body is None or before is None or before.opcode != "tuple":
        return None
    after = body.instructions[body.root]
    start = {i: _number(caller, name) for i, name in enumerate(before.operands)}
    compared = _operation(computations, condition, condition.root, "compare", {})
    if compared is None or after.opcode != "tuple":
        return None
    direction, (counter, limit) = compared[0].attribute("direction"), compared[1]
    kept = {i: start[i] for i, name in enumerate(after.operands) if _element(body, name) == i}
    limit = kept.get(limit[0]) if isinstance(limit, tuple) else limit
    if not isinstance(counter, tuple) or limit is None or direction not in ("LT", "LE"):
        return None
    added = _operation(computations, body, after.operands[counter[0]], "add", kept)
    first = start.get(counter[0])
    if added is None or first is None or counter not in added[1]:
        return None
    steps = [value for value in added[1] if isinstance(value, int)]
    if len(steps) != 1 or steps[0] < 1:
        return None
    return max(0, -(-(limit + (direction == "LE") - first) // steps[0]))


def _source(computation: Computation, name: str) -> Instruction | None:
    """Return what an array was copied from."""
    instruction = computation.instructions.get(name)
    while instruction and instruction.opcode in ("copy", "bitcast", "convert", "reshape"):
        instruction = computation.instructions.get(instruction.operands[0])
    return instruction


def _number(computation: Computation, name: str) -> int | None:
    """Return the value of a whole number that the program holds."""
    found = _source(computation, name)
    is_number = found is not None and found.opcode == "constant"
    return int(found.inside) if found and is_number and found.inside.isdigit() else None


def _element(computation: Computation, name: str) -> int | None:
    """Return which element of the parameter of a loop an array is."""
    found = _source(computation, name)
    if found is None or found.opcode != "get-tuple-element":
        return None
    of = computation.instructions.get(found.operands[0])
    return int(found.attribute("index")) if of and of.opcode == "parameter" else None


_Value: TypeAlias = "int | tuple[int] | None"


def _operation(
    computations: dict[str, Computation],
    computation: Computation,
    name: str,
    opcode: str,
    kept: dict[int, int | None],
) -> tuple[Instruction, list[_Value]] | None:
    """Return an operation, alone or fused, and its operands.

    An operand is a number, or the place in the parameter of the loop in a tuple.
    """

    def value(name: str) -> _Value:
        element = _element(computation, name)
        if element is None:
            return _number(computation, name)
        return (element,) if kept.get(element) is None else kept[element]

    found = _source(computation, name)
    if found is not None and found.opcode == "fusion" and found.called:
        inner = computations[found.called[0]]
        numbers = {one.name: int(one.inside) for one in inner.parameters()}
        operation = inner.instructions.get(inner.root)
        if operation is None or operation.opcode != opcode:
            return None
        values = []
        for operand in operation.operands:
            source = _source(inner, operand)
            fed = source.name if source else ""
            values.append(
                value(found.operands[numbers[fed]]) if fed in numbers else _number(inner, operand)
            )
        return operation, values
    if found is None or found.opcode != opcode:
        return None
    return found, [value(operand) for operand in found.operands]
