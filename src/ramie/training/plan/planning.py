"""`plan`: compile a step for devices that are not there, and read what it needs."""

import contextlib
import operator
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh

from ramie.core.sharding import LogicalRules, logical_axis_rules
from ramie.errors import PlanArgumentError, PlanMeshError
from ramie.training.plan import arguments as laying
from ramie.training.plan import buffers, compiling, hlo, traffic
from ramie.training.plan import topology as places
from ramie.training.plan.chips import CHIPS, Chip
from ramie.training.plan.report import Bound, Collective, Memory, Plan, Work
from ramie.training.plan.sources import Sources
from ramie.training.plan.staging import stage
from ramie.training.plan.work import work_of

__all__ = ["plan"]

_UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}
_NEEDED = re.compile(r"\(?([\d.]+)([KMGTP]?)B?\)? exceeds available HBM \(([\d.]+)([KMGTP]?)")


def plan(
    step: Callable[..., Any],
    *arguments: Any,
    topology: str | Mesh,
    mesh: Mapping[str, int] | None = None,
    specs: Any = None,
    rules: LogicalRules | None = None,
    explicit: bool = False,
    donate: int | Sequence[int] | None = None,
    static: int | Sequence[int] | None = None,
    progress: Callable[[str], None] | None = None,
    **keywords: Any,
) -> Plan:
    """Say what a step will need on devices that one does not have.

    The step is traced here and compiled by the compiler of those devices, in a process of its own;
    what the compiled program says is what they would run. Nothing is allocated, and neither
    devices nor a network are asked for.

    Args:
      step: a function of the arguments; plain, or made by `jax.jit` or `nnx.jit`.
      *arguments: what it is called with: arrays, `jax.ShapeDtypeStruct`, trees of them, variables
        and train states of Linen, models and optimizers of NNX (see `nnx.eval_shape`).
      topology: its name, such as ``v5p:8x8x4`` (see `topologies`), ``cpu:8`` for simulated
        devices; or a mesh of devices that are here, which are then compiled for.
      mesh: the size of each axis, ``{"data": 32, "model": 8}``; one axis ``data`` by default. One
        of them may be -1.
      specs: how the arguments are laid out, one entry each: a `PartitionSpec`, a tree of them, or
        None for what the arguments say themselves by their shardings or the metadata of their
        variables. Where nothing is said, an array lies whole on each device.
      rules: logical axis rules, pairs of a logical name and axes of the mesh; those in force by
        default.
      explicit: whether the axes of the mesh are explicit, as those of `jax.make_mesh`.
      donate: which arguments the step may overwrite; by default what `step` says itself.
      static: which arguments are no arrays, but part of the program.
      progress: called with the name of each stage as it begins: ``trace``, ``compile``, ``read``.
      **keywords: further arguments of the step, by name.

    Returns:
      The `Plan`. That the program does not fit is a result, too.

    Raises:
      UnknownTopologyError: the topology is none that the compiler knows.
      PlanMeshError: the mesh does not have as many devices as the topology.
      PlanArgumentError: an argument cannot be planned with.
      MissingExtraError: libtpu, or what programs travel with, is not installed.
      CompilerFailedError: the compiler failed, and not for lack of memory.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jax.sharding import PartitionSpec as P
        >>> from ramie.plan import plan
        >>> x = jax.ShapeDtypeStruct((64, 128), jnp.float32)
        >>> w = jax.ShapeDtypeStruct((128, 32), jnp.float32)
        >>> found = plan(jnp.dot, x, w, topology="cpu:2", mesh={"data": 2}, specs=(P("data"), P()))
        >>> found.work.flops == 2 * 32 * 128 * 32, found.memory.arguments
        (True, 32768)
    """
    say = progress or (lambda stage: None)
    where = _place(topology, mesh, explicit)
    _check_rules(rules)
    fixed = _numbers("static", static, len(arguments))
    force = contextlib.nullcontext() if rules is None else logical_axis_rules(rules)
    start = time.perf_counter()
    say("trace")
    with force, jax.sharding.use_abstract_mesh(where.mesh):
        args, kwargs, leaves = laying.lay_out(step, arguments, keywords, where.mesh, specs, fixed)
        given_away = None if donate is None else _numbers("donate", donate, len(arguments))
        staged = stage(step, args, kwargs, where.platform, given_away, fixed)
    trace_seconds = time.perf_counter() - start
    say("compile")
    specs_of = [sharding.spec for sharding in staged.shardings]
    answer = where.compile(staged.program, specs_of, staged.donated)
    say("read")
    return _read(_name(step), where, leaves, answer, trace_seconds)


@dataclass(frozen=True)
class _Place:
    """What is compiled for."""

    name: str
    mesh: AbstractMesh
    platform: str
    chip: Chip | None
    topology: places.Topology | None = None
    here: Mesh | None = None

    def compile(self, program: Any, specs: Any, donated: Any) -> compiling.Answer:
        if self.topology is not None:
            return compiling.compile_elsewhere(program, self.topology, self.mesh, specs, donated)
        assert self.here is not None
        return compiling.compile_here(program, self.here, specs, donated)


def _place(topology: str | Mesh, mesh: Mapping[str, int] | None, explicit: bool) -> _Place:
    if isinstance(topology, Mesh):
        if mesh is not None:
            raise PlanMeshError("A mesh was given as topology: leave mesh= out, it has its axes.")
        device = topology.devices.flat[0]
        kinds = {chip.kind: chip for chip in CHIPS.values()}
        name = f"{topology.devices.size} devices {device.device_kind!r}"
        chip = kinds.get(device.device_kind)
        return _Place(name, topology.abstract_mesh, device.platform, chip, here=topology)
    if not isinstance(topology, str):
        raise PlanMeshError(
            f"topology is a name like 'v5e:2x4' or a jax.sharding.Mesh, not {topology!r}."
        )
    found = places.parse(topology)
    abstract = places.make_mesh(topology, mesh, explicit=explicit)
    compiling.check_compiler(found)
    return _Place(topology, abstract, found.platform, found.chip, topology=found)


def _numbers(option: str, given: int | Sequence[int] | None, count: int) -> tuple[int, ...]:
    """Return the numbers of arguments, counted from the first one."""
    if given is None:
        return ()
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    try:
        numbers = tuple(map(operator.index, several))
    except TypeError:
        raise PlanArgumentError(
            f"{option} takes the numbers of arguments, as in {option}=0 or (0, 1), not {given!r}."
        ) from None
    for number in numbers:
        if not -count <= number < count:
            raise PlanArgumentError(
                f"{option} names argument {number}, and there are {count}, counted from 0."
            )
    return tuple(number % count for number in numbers)


def _check_rules(rules: Any) -> None:
    if rules is None:
        return
    pairs = list(rules) if isinstance(rules, Iterable) else [rules]
    for pair in pairs:
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise PlanArgumentError(
                "rules takes pairs of a logical name and axes of the mesh, as in "
                f"[('embed', 'data'), ('batch', None)], not {pair!r}."
            )


def _name(step: Any) -> str:
    return getattr(step, "__name__", type(step).__name__)


def _read(
    name: str,
    where: _Place,
    leaves: list[laying.Leaf],
    answer: compiling.Answer,
    trace_seconds: float,
) -> Plan:
    """Read the answer of the compiler."""
    mesh = dict(where.mesh.shape)
    program = hlo.parse(answer.program)
    account = buffers.allocations_in(answer.buffers)
    temporaries = buffers.temporaries_of(account, program, Sources(answer.program))
    memory = _memory(answer, account, leaves, where)
    work = work_of(program) if program.entry else None
    collectives = traffic.collectives_of(program, mesh)
    unlimited = "does not fit" if answer.status == "memory" else "unknown"
    verdict = "fits" if where.chip else unlimited  # else the compiler had refused
    return Plan(
        step=name,
        topology=where.name,
        simulated=where.topology is not None and where.platform == "cpu",
        chip=where.chip,
        devices=where.mesh.size,
        mesh=mesh,
        verdict="does not fit" if answer.status == "memory" else verdict,
        collections=laying.collections_of(leaves, where.mesh),
        memory=memory,
        contributors=buffers.largest(laying.buffers_of(leaves, where.mesh), temporaries),
        work=work,
        bound=_bound(work, collectives, mesh, where.chip),
        collectives=collectives,
        replicated=laying.replicated_in(leaves, where.mesh),
        temporaries=temporaries,
        trace_seconds=trace_seconds,
        compile_seconds=answer.seconds,
        message=answer.message,
        versions=compiling.versions("tpu" if where.topology and where.chip else ""),
    )


def _memory(
    answer: compiling.Answer,
    account: tuple[buffers.Allocation, ...],
    leaves: list[laying.Leaf],
    where: _Place,
) -> Memory:
    available = where.chip.usable_bytes if where.chip else None
    if answer.status != "memory":
        said = answer.memory
        parts = [said[kind] for kind in ("argument", "output", "alias", "temp", "generated_code")]
        arguments, outputs, aliased, temporaries, code = parts
        if where.chip and account:
            # The sum that JAX is told counts memories on the chip, too, and more: it was larger
            # than the HBM for programs that the compiler found room for.
            temporaries = sum(one.bytes for one in account if one.kind == "temporary")
        total = arguments + outputs - aliased + temporaries + code
        return Memory(arguments, outputs, aliased, temporaries, code, total, available)
    found = _NEEDED.search(answer.message)
    needed = int(float(found.group(1)) * _UNITS[found.group(2)]) if found else 0
    if found:
        available = int(float(found.group(3)) * _UNITS[found.group(4)])
    if not account:
        held = sum(leaf.device_bytes(where.mesh) for leaf in leaves)
        total = max(needed, held)
        return Memory(held, None, None, None, None, total, available, exact=False)
    size = {kind: 0 for kind in ("parameter", "both", "output", "temporary", "other")}
    for allocation in account:
        size[allocation.kind] += allocation.bytes
    arguments, aliased = size["parameter"] + size["both"], size["both"]
    outputs, temporaries = size["output"] + aliased, size["temporary"]
    total = max(arguments + size["output"] + temporaries, needed)
    return Memory(arguments, outputs, aliased, temporaries, None, total, available)


def _bound(
    work: Work | None,
    collectives: tuple[Collective, ...],
    mesh: Mapping[str, int],
    chip: Chip | None,
) -> Bound | None:
    """Return what bounds the time of a step from below, None where no peak is known."""
    if work is None or chip is None:
        return None
    compute = sum(count / _peak(chip, dtype) for dtype, count in work.flops_by_dtype.items())
    memory = work.hbm_bytes / chip.hbm_bandwidth
    wire = sum(traffic.wire_bytes(one, mesh) for one in collectives) / chip.ici_bandwidth
    parts = {"compute": compute, "memory": memory, "interconnect": wire}
    longest = max(parts, key=lambda part: parts[part])
    return Bound(parts[longest], longest, compute, memory, wire)


def _peak(chip: Chip, dtype: str) -> float:
    """Return the peak for products of a dtype; what is not published counts as bfloat16."""
    return chip.flops.get(dtype.partition("_")[0].replace("f8e", "float8"), chip.flops["bfloat16"])
