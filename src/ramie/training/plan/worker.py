"""Compiling in a process of its own: ``python -m ramie.training.plan.worker FOLDER``.

A compiler for other machines may wait for what is not there, write files, or take its process with
it when it fails. Here it can do no harm: the process that asks only reads what it leaves in FOLDER.

It finds there ``request.json`` and ``program.bin``, and leaves ``answer.json``, ``program.txt`` and
``buffers.txt``.
"""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ramie.training.processes.child import end_with_parent

__all__ = ["compile_program", "main"]

_MEMORY = ("RESOURCE_EXHAUSTED", "Ran out of memory", "out of memory")


def compile_program(
    program: export.Exported,
    mesh: Mesh,
    specs: Sequence[PartitionSpec],
    donated: Sequence[int],
    folder: Path,
) -> dict[str, Any]:
    """Compile a program for the devices of a mesh, and leave its text in a folder.

    Args:
      program: what was traced elsewhere.
      mesh: the devices.
      specs: how each argument is laid out.
      donated: numbers of arguments that may be overwritten.
      folder: where the text goes.

    Returns:
      What the compiler said: ``status`` (``compiled``, ``memory`` or ``failed``), ``message``,
      ``seconds``, and bytes by kind in ``memory``.
    """
    arguments = [
        jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=NamedSharding(mesh, spec))
        for aval, spec in zip(program.in_avals, specs, strict=True)
    ]
    # Arguments that the step does not use are in memory all the same.
    call = jax.jit(program.call, donate_argnums=tuple(donated), keep_unused=True)
    lowered = call.lower(*arguments)
    options: dict[str, str | bool] = {"xla_dump_to": str(folder), "xla_dump_hlo_as_text": True}
    start = time.perf_counter()
    try:
        compiled = lowered.compile(compiler_options=options)
    except jax.errors.JaxRuntimeError as error:
        status = "memory" if any(word in str(error) for word in _MEMORY) else "failed"
        _keep_dump(folder, with_text=True)
        seconds = time.perf_counter() - start
        return {"status": status, "message": str(error), "seconds": seconds, "memory": {}}
    seconds = time.perf_counter() - start
    folder.joinpath("program.txt").write_text(compiled.as_text() or "", encoding="utf-8")
    _keep_dump(folder, with_text=False)
    stats = compiled.memory_analysis()
    kinds = ("argument", "output", "alias", "temp", "generated_code")
    memory = {kind: int(getattr(stats, f"{kind}_size_in_bytes", 0)) for kind in kinds}
    return {"status": "compiled", "message": "", "seconds": seconds, "memory": memory}


def _keep_dump(folder: Path, with_text: bool) -> None:
    """Give the files that are of use the names they are read by, and remove the others."""
    wanted = {"after_optimizations-buffer-assignment.txt": "buffers.txt"}
    if with_text:
        wanted["after_optimizations.txt"] = "program.txt"
    for path in sorted(folder.glob("module_*")):
        ending = path.name.rpartition(".txt")[0].rpartition(".")[2] + ".txt"
        target = wanted.get(ending.removeprefix("cpu_"))
        if target and path.is_file():
            path.replace(folder / target)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _mesh(request: dict[str, Any]) -> Mesh:
    names, sizes = tuple(request["axes"]), tuple(request["axes"].values())
    kind = AxisType.Explicit if request["explicit"] else AxisType.Auto
    if request["platform"] == "cpu":
        devices = np.array(jax.devices("cpu")[: np.prod(sizes)]).reshape(sizes)
        return Mesh(devices, names, axis_types=(kind,) * len(names))
    from jax.experimental import topologies

    # A host has four chips, unless it is said to have the one that there is.
    host = {"chips_per_host_bounds": (1, 1, 1)} if request["chips"] == 1 else {}
    topology = topologies.get_topology_desc(
        platform="tpu", topology_name=request["topology"], **host
    )
    try:
        devices = topologies.make_mesh(topology, sizes, names).devices
    except (AssertionError, NotImplementedError, ValueError):  # no neighbourly order is known
        devices = np.array(topology.devices).reshape(sizes)
    return Mesh(devices, names, axis_types=(kind,) * len(names))


def _spec(entries: list[Any]) -> PartitionSpec:
    return PartitionSpec(*(tuple(one) if isinstance(one, list) else one for one in entries))


def main(folder: Path) -> None:
    """Do what is asked for in a folder."""
    end_with_parent(lambda: shutil.rmtree(folder, ignore_errors=True))
    request = json.loads(folder.joinpath("request.json").read_text(encoding="utf-8"))
    jax.config.update("jax_enable_x64", request["x64"])
    try:
        mesh = _mesh(request)
    except jax.errors.JaxRuntimeError as error:
        answer = {"status": "topology", "message": str(error)}
    else:
        program = export.deserialize(bytearray(folder.joinpath("program.bin").read_bytes()))
        specs = [_spec(entries) for entries in request["specs"]]
        answer = compile_program(program, mesh, specs, request["donated"], folder)
    folder.joinpath("answer.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
