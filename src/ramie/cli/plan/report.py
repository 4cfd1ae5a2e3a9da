"""What is printed of a plan: tables for one mesh, one line each for several."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ramie.cli.output import amount, count, print_table, time_span, visible
from ramie.cli.plan.meshes import described
from ramie.training.plan.report import Memory, Plan, Work

__all__ = ["Row", "caveats", "parts", "print_plan", "print_sweep", "sorted_rows"]

_MOST = 10
_SIMULATED = (
    "Simulated on CPU devices: memory and collectives are those of the compiler for CPUs, not "
    "those of another chip, and nothing is said of time."
)


class Row(NamedTuple):
    """What came of one mesh of a sweep.

    Attributes:
      mesh: its axes with their sizes.
      plan: what was planned; None where that was impossible.
      problem: why it was.
    """

    mesh: dict[str, int]
    plan: Plan | None
    problem: str = ""


def parts(memory: Memory) -> dict[str, int]:
    """Return the bytes on one device by kind, which sum up to the total.

    Outputs that take the place of arguments are counted with these. What the compiler asked for
    without saying what for is `not named`.

    Example:
      >>> parts(Memory(100, 110, 90, 40, 5, total=165, available=200))
      {'arguments': 100, 'outputs': 20, 'temporaries': 40, 'code': 5}
    """
    found = {
        "arguments": memory.arguments,
        "outputs": (memory.outputs or 0) - (memory.aliased or 0),
        "temporaries": memory.temporaries or 0,
        "code": memory.code or 0,
    }
    if not memory.exact:
        named = {kind: size for kind, size in found.items() if size > 0}
        rest = memory.total - sum(named.values())
        return {**named, "not named": rest} if rest > 0 else named
    return found


def print_plan(plan: Plan) -> None:
    """Print everything that a plan says, a table for each subject that it says something of."""
    chip = f"{plan.chip.kind}, " if plan.chip else ""
    axes = described(plan.mesh)
    print(visible(f"{plan.step} on {plan.topology}: {chip}{plan.devices} devices, {axes}"))
    if plan.simulated:
        print(_SIMULATED)
    _print_memory(plan)
    _print_collections(plan)
    _print_work(plan)
    _print_lists(plan)
    versions = ", ".join(f"{name} {version}" for name, version in plan.versions.items())
    took = f"traced in {time_span(plan.trace_seconds)}"
    took += f", compiled in {time_span(plan.compile_seconds)}"
    print(f"\n{took}{f' by {versions}' if versions else ''}")


def _print_memory(plan: Plan) -> None:
    memory = plan.memory
    shares = parts(memory)
    aliased = f"and {_bytes(memory.aliased)} in place of arguments" if memory.aliased else ""
    rows = [
        (kind, _bytes(size), _share(size, memory.available), aliased if kind == "outputs" else "")
        for kind, size in shares.items()
    ]
    rows.append(("total", _bytes(memory.total), _share(memory.total, memory.available), ""))
    heads = ("memory", "a device", "of the chip", "")
    print()
    print_table(heads, rows, right=heads[1:3])
    print(verdict(plan))
    if plan.message and not plan.fits:
        print(visible(plan.message.strip().splitlines()[0]))


def verdict(plan: Plan) -> str:
    """Say in words whether there is room, and how much is left or lacking."""
    memory = plan.memory
    if memory.available is None:
        return f"{plan.verdict}: the memory of simulated devices has no size"
    room = f"of {_bytes(memory.available)}"
    if plan.fits:
        return f"{plan.verdict}: {_bytes(memory.available - memory.total)} {room} are left"
    if not memory.lacking:
        return f"{plan.verdict} in {_bytes(memory.available)}"
    return f"{plan.verdict}: {_bytes(memory.lacking)} are lacking, {_bytes(memory.total)} {room}"


def _print_collections(plan: Plan) -> None:
    heads = ("arguments", "arrays", "elements", "in all", "a device")
    rows = [
        (
            part.name,
            part.arrays,
            count(part.elements),
            _bytes(part.bytes),
            _bytes(part.device_bytes),
        )
        for part in plan.collections
    ]
    if rows:
        print()
        print_table(heads, rows, right=heads[1:])


def _print_work(plan: Plan) -> None:
    work, bound = plan.work, plan.bound
    if work is None:
        return
    by_dtype = ", ".join(f"{count(flops)} {name}" for name, flops in work.flops_by_dtype.items())
    rows = [
        ("products", f"{count(work.flops)} FLOP", by_dtype if work.flops else ""),
        ("memory traffic", _bytes(work.hbm_bytes), ""),
    ]
    heads = ["a step, on a device", "", ""]
    if bound is not None:
        sent = sum(collective.bytes for collective in plan.collectives)
        rows.append(("collectives", _bytes(sent), ""))
        times = (bound.compute, bound.memory, bound.interconnect)
        rows = [(*row[:2], time_span(time)) for row, time in zip(rows, times, strict=True)]
        heads[2] = "takes at least"
    print()
    print_table(heads, rows, right=heads[1:])
    if bound is not None:
        print(f"a step takes at least {time_span(bound.seconds)}, bound by {bound.by}")
    for said in caveats([work]):
        print(visible(said))


def caveats(works: Sequence[Work]) -> Iterator[str]:
    """Say what was counted too low or too high, in the plan where there is most of it."""
    if loops := max((work.unknown_loops for work in works), default=0):
        yield f"{loops} loops of unknown length were counted as if they ran once"
    if choices := max((work.choices for work in works), default=0):
        many = "choice" if choices == 1 else "choices"
        yield (
            f"of {choices} {many} by cond or switch all branches were counted, of which one runs: "
            "a step may take less than is said here"
        )
    most: dict[str, int] = {}
    for work in works:
        for name, times in work.unknown_calls.items():
            most[name] = max(times, most.get(name, 0))
    if most:
        calls = ", ".join(
            f"{name} ({times} {'call' if times == 1 else 'calls'})" for name, times in most.items()
        )
        yield (
            f"not counted, since XLA does not know it: the work of {calls}. A step may take longer"
        )


def _print_lists(plan: Plan) -> None:
    collectives = [
        (item.kind, ", ".join(item.axes), item.count, _bytes(item.bytes), item.path)
        for item in plan.collectives
    ]
    _print_list(("collectives", "over", "count", "bytes", "largest in"), collectives, (2, 3))
    replicated = [
        (item.path, item.shape, _bytes(item.bytes), ", ".join(item.axes), item.advice)
        for item in plan.replicated
    ]
    _print_list(("could be divided", "shape", "bytes", "copied along", "how"), replicated, (2,))
    large, what = plan.temporaries, "largest temporaries"
    if not plan.fits and plan.contributors:
        large, what = plan.contributors, "largest arrays"
    buffers = [
        (item.path or item.operation, _bytes(item.bytes), item.shape, item.operation, item.source)
        for item in large
    ]
    _print_list((what, "bytes", "shape", "made by", "at"), buffers, (1,))


def _print_list(heads: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int]) -> None:
    if rows:
        print()
        print_table(heads, rows[:_MOST], right=[heads[index] for index in right])
    if len(rows) > _MOST:
        print(f"and {len(rows) - _MOST} more; --json has them all")


def sorted_rows(rows: Sequence[Row]) -> list[Row]:
    """Put what fits first, the quickest on top; then what lacks least, then what cannot be."""
    return sorted(rows, key=_rank)


def _rank(row: Row) -> tuple[float, ...]:
    if row.plan is None:
        return (2,)
    memory = row.plan.memory
    if not row.plan.fits:
        return (1, memory.lacking, memory.total)
    return (0, row.plan.bound.seconds if row.plan.bound else 0.0, memory.total)


def print_sweep(rows: Sequence[Row]) -> None:
    """Print a line for each mesh in the order that they come in, and why some cannot be."""
    memory = ("total", "left", "arguments", "temporaries")
    heads = ("mesh", "verdict", *memory, "at least", "bound by", "collectives")
    print_table(heads, [_cells(row) for row in rows], right=(*heads[2:7], heads[8]))
    if any(row.plan and row.plan.simulated for row in rows):
        print(_SIMULATED)
    for said in caveats([row.plan.work for row in rows if row.plan and row.plan.work]):
        print(visible(said))
    for row in rows:
        if row.plan is None:
            print(visible(f"{described(row.mesh)}: {row.problem}"))


def _cells(row: Row) -> tuple[str, ...]:
    name = described(row.mesh)
    if row.plan is None:
        return (name, "impossible", *[""] * 7)
    memory, bound = row.plan.memory, row.plan.bound
    left = ""
    if memory.available is not None:
        free = memory.available - memory.total
        left = _bytes(free) if free >= 0 else f"-{_bytes(-free)}"
    return (
        name,
        row.plan.verdict,
        _bytes(memory.total),
        left,
        _bytes(memory.arguments),
        "" if memory.temporaries is None else _bytes(memory.temporaries),
        time_span(bound.seconds) if bound else "",
        bound.by if bound else "",
        _bytes(sum(item.bytes for item in row.plan.collectives)) if row.plan.work else "",
    )


def _bytes(size: int) -> str:
    return amount(size, binary=True)


def _share(size: int, available: int | None) -> str:
    return f"{100 * size / available:.1f} %" if available else ""
