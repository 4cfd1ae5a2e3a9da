"""`plan`: compile a step for devices that are not there, and read what it needs."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from ramie.plan.report import Plan

__all__ = ["plan"]


def plan(
    step: Callable[..., Any],
    *arguments: Any,
    topology: str | Mesh,
    mesh: dict[str, int] | None = None,
    specs: Any = None,
    rules: Sequence[tuple[str, str | tuple[str, ...] | None]] | None = None,
    explicit: bool = False,
    donate: int | Sequence[int] | None = None,
    static: int | Sequence[int] | None = None,
    progress: Callable[[str], None] | None = None,
    **keywords: Any,
) -> Plan:
    """Say what a step will need on devices that one does not have.

    Args:
      step: a function of the arguments; plain, or made by `jax.jit` or `nnx.jit`.
      *arguments: what it is called with: arrays, `jax.ShapeDtypeStruct`, trees of them, variables
        and train states of Linen, models and optimizers of NNX (see `nnx.eval_shape`).
      topology: its name, such as ``v5p:8x8x4`` (see `topologies`), ``cpu:8`` for simulated
        devices; or a mesh, whose devices are compiled for.
      mesh: the size of each axis, ``{"data": 32, "model": 8}``; one axis ``data`` by default.
      specs: how the arguments are laid out, one entry each: a `PartitionSpec`, a tree of them, or
        None for what the arguments say themselves.
      rules: logical axis rules, pairs of a logical name and axes of the mesh.
      explicit: whether the axes of the mesh are explicit, as those of `jax.make_mesh`.
      donate: which arguments the step may overwrite; by default what `step` says itself.
      static: which arguments are no arrays, but part of the program.
      progress: called with the name of each stage as it begins: ``trace``, ``compile``, ``read``.
      **keywords: further arguments of the step, by name.

    Raises:
      UnknownTopologyError: the topology is none that the compiler knows.
      PlanMeshError: the mesh does not have as many devices as the topology.
      PlanArgumentError: an argument cannot be planned with.
      MissingExtraError: libtpu is needed, and not installed.
      CompilerFailedError: the compiler failed, and not for lack of memory.
    """
    raise NotImplementedError(jax.__version__)
