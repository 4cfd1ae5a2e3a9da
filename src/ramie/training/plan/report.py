"""What a plan says: records of numbers, and how they are written as JSON."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from ramie.training.plan.chips import Chip

__all__ = [
    "Bound",
    "Buffer",
    "Collection",
    "Collective",
    "Memory",
    "Plan",
    "Replicated",
    "Work",
]


@dataclass(frozen=True)
class Collection:
    """A part of the arguments: a collection of variables, the state of an optimizer, a batch.

    Attributes:
      name: ``params``, ``batch_stats``, ``Param``, ``opt_state``, or the name of an argument.
      arrays: how many arrays it has.
      elements: how many numbers they hold; of ``params`` the number of parameters.
      bytes: their size, each counted once.
      device_bytes: what one device holds of them.
    """

    name: str
    arrays: int
    elements: int
    bytes: int
    device_bytes: int


@dataclass(frozen=True)
class Buffer:
    """One array in the memory of a device.

    Attributes:
      bytes: its size on one device.
      shape: what it is on one device, as the compiler writes it: ``bf16[64,512]``.
      path: where it comes from: for an argument its path, for a temporary that of the module.
      operation: what makes it, ``dot_general``; ``argument`` for an argument.
      source: file and line, ``model.py:12``; empty where the compiler does not say.
    """

    bytes: int
    shape: str
    path: str
    operation: str
    source: str = ""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device.

    `total` is what has to be there at once. An output that takes the place of an argument
    (`aliased`) is counted once.

    Attributes:
      arguments: what is given to the step.
      outputs: what it returns.
      aliased: how much of the outputs takes the place of donated arguments.
      temporaries: what lives between them.
      code: the program.
      total: the sum, what is aliased counted once.
      available: what the device has for all of it; None for simulated devices.
      exact: whether the compiler said so. False where it gave up: `total` is then what it asked
        for, and parts that it did not name are None.
    """

    arguments: int
    outputs: int | None
    aliased: int | None
    temporaries: int | None
    code: int | None
    total: int
    available: int | None
    exact: bool = True

    @property
    def lacking(self) -> int:
        """How many bytes are missing; 0 where it fits."""
        return max(0, self.total - self.available) if self.available is not None else 0


@dataclass(frozen=True)
class Work:
    """What one device does in one step, loops counted as often as they run.

    Attributes:
      flops: operations of products of matrices and of convolutions; a multiplication and an
        addition are two.
      flops_by_dtype: the same by the dtype of the operands.
      hbm_bytes: what is read from and written to the memory of the device.
      unknown_loops: loops whose length is not known before they run; each is counted once.
      unknown_calls: kernels that are no operations of XLA, as those of Pallas, of `ragged_dot` on a
        TPU, of LAPACK: their names, and how often they run in a step. Their `flops` are counted as
        none, since nothing says how many they are.
      choices: places where a branch is chosen (`jax.lax.cond`); all branches are counted there.
    """

    flops: int
    flops_by_dtype: dict[str, int]
    hbm_bytes: int
    unknown_loops: int = 0
    unknown_calls: dict[str, int] = dataclasses.field(default_factory=dict)
    choices: int = 0


@dataclass(frozen=True)
class Bound:
    """The time below which no step can be, in seconds, by what it would be spent with.

    Attributes:
      seconds: the longest of the others.
      by: which of them: ``compute``, ``memory`` or ``interconnect``.
      compute: `Work.flops` at the peak of the chip for each dtype.
      memory: `Work.hbm_bytes` at the bandwidth of its memory.
      interconnect: bytes of collectives at the bandwidth of all links of a chip.
    """

    seconds: float
    by: str
    compute: float
    memory: float
    interconnect: float


@dataclass(frozen=True)
class Collective:
    """All collectives of one kind over the same axes of the mesh.

    Attributes:
      kind: ``all-reduce``, ``all-gather``, ``reduce-scatter``, ``all-to-all`` or
        ``collective-permute``.
      axes: the axes of the mesh that the devices of a group differ in.
      count: how many run in a step, those in loops as often as the loop runs.
      bytes: what one device gives to (or, for ``all-gather``, gets from) all of them.
      path: the module of the largest one.
    """

    kind: str
    axes: tuple[str, ...]
    count: int
    bytes: int
    path: str


@dataclass(frozen=True)
class Replicated:
    """A large array that lies whole on more devices than it needs to.

    Attributes:
      path: its path in the arguments.
      shape: its shape, ``float32[4096,4096]``.
      bytes: its size.
      axes: axes of the mesh that it is copied along.
      advice: which dimension could be laid on which axis, and the rule that would say so.
    """

    path: str
    shape: str
    bytes: int
    axes: tuple[str, ...]
    advice: str


@dataclass(frozen=True)
class Plan:
    """What a step needs on the devices of a topology; made by `ramie.plan.plan`.

    Attributes:
      step: the name of the function.
      topology: what it was compiled for, ``v5p:8x8x4``.
      simulated: True on CPU devices in the place of others: memory and collectives are those of
        XLA's CPU compiler, and nothing is said of time.
      chip: the row of `CHIPS`; None for simulated devices.
      devices: how many devices the mesh has.
      mesh: the size of each axis.
      verdict: ``fits``, ``does not fit``, or ``unknown`` for simulated devices.
      collections: the arguments by collection, in their order.
      memory: bytes on one device.
      contributors: the largest arrays on one device, arguments and temporaries together.
      work: what one device does; None where the compiler gave up.
      bound: the time below which no step can be; None where `work` or `chip` is.
      collectives: by kind and axes, the most bytes first.
      replicated: large arrays that a rule could lay out, the largest first.
      temporaries: the ten largest, the largest first.
      trace_seconds: what tracing took.
      compile_seconds: what the compiler took.
      message: what the compiler said when the program does not fit; empty otherwise.
      versions: of ``jax``, and of ``libtpu`` where it was used.
    """

    step: str
    topology: str
    simulated: bool
    chip: Chip | None
    devices: int
    mesh: dict[str, int]
    verdict: str
    collections: tuple[Collection, ...]
    memory: Memory
    contributors: tuple[Buffer, ...]
    work: Work | None
    bound: Bound | None
    collectives: tuple[Collective, ...]
    replicated: tuple[Replicated, ...]
    temporaries: tuple[Buffer, ...]
    trace_seconds: float
    compile_seconds: float
    message: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether the compiler found room for it; True on simulated devices."""
        return self.verdict != "does not fit"

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as dictionaries, lists, strings and numbers."""
        found = dataclasses.asdict(self)
        found["memory"]["lacking"] = self.memory.lacking
        found["fits"] = self.fits
        return json.loads(json.dumps(found))

    def to_json(self, indent: int | None = 2) -> str:
        """Return all of it as JSON.

        Args:
          indent: blanks before each level; None for one line.
        """
        return json.dumps(self.as_dict(), indent=indent)
