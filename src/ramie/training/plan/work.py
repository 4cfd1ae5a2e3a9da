"""How much a compiled program computes, and how much it reads and writes."""

import math
import re
from collections import Counter
from collections.abc import Iterator

from ramie.training.plan.hlo import Computation, Instruction, Program, Shape
from ramie.training.plan.report import Work

__all__ = ["work_of"]

_DTYPES = {
    "bf16": "bfloat16",
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
    "s8": "int8",
    "u8": "uint8",
    "s4": "int4",
    "s32": "int32",
    "c64": "complex64",
    "c128": "complex128",
}
_COMPLEX = {"c64", "c128"}
# They move nothing: names for what is there, or counted where they call or begin.
_FREE = {
    "after-all",
    "async-done",
    "async-start",
    "async-update",
    "bitcast",
    "call",
    "conditional",
    "constant",
    "get-tuple-element",
    "iota",
    "opt-barrier",
    "parameter",
    "partition-id",
    "replica-id",
    "tuple",
    "while",
}
_SLICING = {"dynamic-slice", "gather", "slice"}
# Custom calls that are notes to the compiler, or compute no products. Those of collectives stand
# beside the collective itself, which is counted where it is.
_IDLE = {
    "AllocateBuffer",
    "ApproxTopK",
    "AssumeGatherIndicesInBound",
    "AsyncCollectiveDone",
    "AsyncCollectiveStart",
    "ConcatBitcast",
    "GatherScatterIndicesBitpacked",
    "LayoutConstraint",
    "MoveToDevice",
    "MoveToHost",
    "PartialReduce",
    "SPMDFullToShardShape",
    "SPMDShardToFullShape",
    "Sharding",
    "TopK",
    "X64Combine",
    "X64SplitHigh",
    "X64SplitLow",
    "annotate_device_placement",
}


def work_of(program: Program) -> Work:
    """Count the operations of products, and the bytes that go to and from the memory.

    Loops count as often as they run, and all branches of a choice. An array that only a part of is
    read counts with that part.
    A kernel that XLA does not know counts as reading its operands and writing its results once,
    and as computing nothing; its name is kept.
    """
    flops: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    moved = unknown = choices = 0
    for computation, times, known in program.executed():
        unknown += not known
        for instruction in computation.instructions.values():
            for dtype, count in _flops(program, computation, instruction).items():
                flops[dtype] += times * count
            for name in _kernels(program, instruction):
                calls[name] += times
            moved += times * _moved(program, computation, instruction)
            choices += instruction.opcode == "conditional"
    named = dict(calls.most_common())
    return Work(sum(flops.values()), dict(flops), moved, unknown, named, choices)


def _kernels(program: Program, one: Instruction) -> Iterator[str]:
    """Name the kernels in an instruction of which XLA does not know what they compute."""
    if one.opcode == "fusion":
        for name in one.called:
            for inner in program.computations[name].instructions.values():
                yield from _kernels(program, inner)
    elif one.opcode == "custom-call":
        target = one.attribute("custom_call_target").strip('"')
        if target == "tpu_custom_call":  # all of Pallas; the instruction has the kernel's name
            name = one.name.partition(".")[0]
            yield target if name == one.opcode else name
        elif target not in _IDLE:
            yield target


def _flops(program: Program, computation: Computation, one: Instruction) -> Counter[str]:
    found: Counter[str] = Counter()
    if one.opcode in ("dot", "convolution"):
        operands = [computation.instructions[name].shapes[0] for name in one.operands[:2]]
        count = _of_dot(one, operands) if one.opcode == "dot" else _of_convolution(one, operands)
        dtype = operands[0].dtype
        if one.shapes[0].dtype in _COMPLEX:
            count *= 4  # a product of complex numbers is four of real ones
        found[_DTYPES.get(dtype, dtype)] += count
    elif one.opcode == "fusion":
        for name in one.called:
            inner = program.computations[name]
            for instruction in inner.instructions.values():
                found += _flops(program, inner, instruction)
    return found


def _of_dot(dot: Instruction, operands: list[Shape]) -> int:
    contracted = re.findall(r"\d+", dot.attribute("lhs_contracting_dims"))
    sizes = [operands[0].sizes[int(axis)] for axis in contracted]
    return 2 * math.prod(dot.shapes[0].sizes) * math.prod(sizes)


def _of_convolution(one: Instruction, operands: list[Shape]) -> int:
    """Count the products of a convolution; those with padding are none."""
    given, kernel, result = re.split(r"_|->", one.attribute("dim_labels"))
    size = dict(zip(result, one.shapes[0].sizes, strict=True))
    outputs = size["b"] * size["f"]
    summed = dict(zip(kernel, operands[1].sizes, strict=True))["i"]
    inputs = dict(zip(given, operands[0].sizes, strict=True))
    window = _window(one.attribute("window"))
    for number, axis in enumerate(sorted(label for label in result if label.isdigit())):
        outputs *= _pairs(
            size[axis], inputs[axis], {key: value[number] for key, value in window.items()}
        )
    return 2 * outputs * summed


def _window(text: str) -> dict[str, list[tuple[int, ...]]]:
    """Read what a window says, for each spatial axis."""
    found = {}
    for key, value in re.findall(r"(\w+)=([\dx_\-]+)", text):
        found[key] = [tuple(map(int, part.split("_"))) for part in value.split("x")]
    return found


def _pairs(outputs: int, inputs: int, window: dict[str, tuple[int, ...]]) -> int:
    """Count pairs of an output and a place of the window that meet an input, along one axis."""
    stride, spread = window.get("stride", (1,))[0], window.get("rhs_dilate", (1,))[0]
    holes, before = window.get("lhs_dilate", (1,))[0], window.get("pad", (0, 0))[0]
    last = (inputs - 1) * holes
    count = 0
    for place in range(window["size"][0]):
        shift = place * spread - before
        low, high = max(0, -(shift // stride)), min(outputs - 1, (last - shift) // stride)
        # Of the positions that are holes between inputs, every `holes`-th is none.
        for first in range(low, min(high + 1, low + holes)):
            if (first * stride + shift) % holes == 0:
                count += (high - first) // holes + 1
    return count


def _moved(program: Program, computation: Computation, one: Instruction) -> int:
    """Return how many bytes an instruction reads from and writes to the memory of the device."""
    if one.opcode in _FREE or one.opcode.endswith("-done") or "AllocateBuffer" in one.attributes:
        return 0
    operands = [computation.instructions.get(name) for name in one.operands]
    shapes = [found.shapes for found in operands if found]
    if one.opcode in ("copy-start", "slice-start"):
        source, target = shapes[0][0], one.shapes[0]
        part = min(source.bytes, target.bytes)
        return part * (source.in_hbm + target.in_hbm)
    if one.opcode.endswith("-start"):
        return 2 * sum(shape.bytes for several in shapes for shape in several if shape.in_hbm)
    if one.opcode == "fusion" and one.called:
        inner = program.computations[one.called[0]]
        read = 0
        for parameter, several in zip(inner.parameters(), shapes, strict=False):
            if several and several[0].in_hbm:
                read += _read(program, inner, parameter)
        return read + _written(inner, one.shapes)
    return _alone(one, shapes)


def _alone(one: Instruction, shapes: list[tuple[Shape, ...]]) -> int:
    written = sum(shape.bytes for shape in one.shapes if shape.in_hbm)
    if one.opcode in _SLICING:
        return written * 2 if shapes[0][0].in_hbm else written
    if one.opcode == "dynamic-update-slice":
        return shapes[1][0].bytes * (one.shapes[0].in_hbm + shapes[1][0].in_hbm)
    return written + sum(s.bytes for several in shapes for s in several if s.in_hbm)


def _read(program: Program, inner: Computation, parameter: Instruction) -> int:
    """Return how much of a parameter of a fusion is read."""
    whole, read = parameter.shapes[0].bytes, 0
    for user in inner.instructions.values():
        if parameter.name not in user.operands:
            continue
        first = user.operands[0] == parameter.name
        if user.opcode in _SLICING and first:
            read += user.shapes[0].bytes
        elif user.opcode == "dynamic-update-slice" and first:
            continue  # written in place
        elif user.opcode in ("bitcast", "reshape"):
            read += _read(program, inner, user)
        elif user.opcode == "fusion" and user.called:
            nested = program.computations[user.called[0]]
            number = user.operands.index(parameter.name)
            read += _read(program, nested, nested.parameters()[number])
        else:
            return whole
    return min(whole, read)


def _written(inner: Computation, shapes: tuple[Shape, ...]) -> int:
    """Return how much a fusion writes: of an array that is changed in place, the new part."""
    root = inner.instructions[inner.root]
    results = root.operands if root.opcode == "tuple" else (root.name,)
    written = 0
    for name, shape in zip(results, shapes, strict=False):
        one = inner.instructions.get(name)
        while one and one.opcode in ("bitcast", "reshape"):
            one = inner.instructions.get(one.operands[0])
        if one and one.opcode == "dynamic-update-slice":
            update = inner.instructions[one.operands[1]]
            written += update.shapes[0].bytes * shape.in_hbm
        else:
            written += shape.bytes * shape.in_hbm
    return written
