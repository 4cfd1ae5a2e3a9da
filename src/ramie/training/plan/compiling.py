"""Asking the compiler, which runs in a process of its own; see `ramie.training.plan.worker`."""

import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, PartitionSpec

from ramie.errors import CompilerFailedError, MissingExtraError, UnknownTopologyError
from ramie.training.plan import worker
from ramie.training.plan.topology import Topology, topologies

__all__ = ["Answer", "check_compiler", "compile_elsewhere", "compile_here", "versions"]

# What libtpu would ask the machine or the network for, or write beside its work.
_TPU_ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # else a second process is refused by a lock file
    "TPU_SKIP_MDS_QUERY": "1",  # no metadata server
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",  # of the machine, which has none
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_STDERR_LOG_LEVEL": "3",
}
# Settings of the surrounding process that would make another compiler of it.
_LEFT_OUT = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "JAX_COMPILATION_CACHE_DIR", "JAX_NUM_CPU_DEVICES")


@dataclass(frozen=True)
class Answer:
    """What the compiler said.

    Attributes:
      status: ``compiled``, or ``memory`` if there is too little.
      message: its own words, if there is too little.
      seconds: how long it took.
      memory: bytes by kind, as JAX calls them; empty if there is too little.
      program: the text of the program; empty if it did not get so far.
      buffers: XLA's account of memory.
    """

    status: str
    message: str
    seconds: float
    memory: Mapping[str, int]
    program: str
    buffers: str


def check_compiler(topology: Topology) -> None:
    """Refuse what cannot be compiled for here.

    Raises:
      MissingExtraError: libtpu, or what programs travel with, is not installed.
    """
    if topology.platform == "tpu" and importlib.util.find_spec("libtpu") is None:
        purpose = f"compile for {topology.name} (cpu:{topology.devices} does without)"
        raise MissingExtraError("libtpu", "plan", purpose)
    if importlib.util.find_spec("flatbuffers") is None:
        raise MissingExtraError("flatbuffers", "plan", "hand a program to the compiler")


def versions(platform: str) -> dict[str, str]:
    """Return the versions of what compiles."""
    found = {"jax": jax.__version__}
    if platform == "tpu":
        found["libtpu"] = importlib.metadata.version("libtpu")
    return found


def compile_elsewhere(
    program: Any,
    topology: Topology,
    mesh: AbstractMesh,
    specs: Sequence[PartitionSpec],
    donated: Sequence[int],
) -> Answer:
    """Compile an exported program for a topology, in another process.

    Raises:
      UnknownTopologyError: the compiler does not know it.
      CompilerFailedError: it failed, and not for lack of memory.
    """
    request = {
        "topology": topology.name,
        "platform": topology.platform,
        "chips": topology.devices // (topology.chip.devices if topology.chip else 1),
        "axes": dict(mesh.shape),
        "explicit": AxisType.Explicit in mesh.axis_types,
        "specs": [list(spec) for spec in specs],
        "donated": list(donated),
        "x64": bool(jax.config.read("jax_enable_x64")),
    }
    with tempfile.TemporaryDirectory(prefix="ramie-plan-") as name:
        folder = Path(name)
        folder.joinpath("program.bin").write_bytes(program.serialize())
        folder.joinpath("request.json").write_text(json.dumps(request), encoding="utf-8")
        code = _run(folder, topology)
        found = folder / "answer.json"
        if not found.is_file():
            raise CompilerFailedError(topology.name, _last_words(folder, code))
        return _answer(json.loads(found.read_text(encoding="utf-8")), folder, topology.name)


def compile_here(
    program: Any, mesh: Mesh, specs: Sequence[PartitionSpec], donated: Sequence[int]
) -> Answer:
    """Compile an exported program for devices of this process."""
    with tempfile.TemporaryDirectory(prefix="ramie-plan-") as name:
        folder = Path(name)
        answer = worker.compile_program(program, mesh, specs, donated, folder)
        return _answer(answer, folder, "the mesh that was given")


def _answer(said: dict[str, Any], folder: Path, topology: str) -> Answer:
    if said["status"] == "topology":
        known = [name for name in topologies() if name.startswith(topology.partition(":")[0])]
        raise UnknownTopologyError(topology, known, f"the compiler says: {said['message']}")
    if said["status"] == "failed":
        raise CompilerFailedError(topology, said["message"])
    texts = [folder / name for name in ("program.txt", "buffers.txt")]
    program, buffers = (
        path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        for path in texts
    )
    return Answer(
        said["status"], said["message"], said["seconds"], said["memory"], program, buffers
    )


def _environment(folder: Path, topology: Topology) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    kept |= {
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_COMPILATION_CACHE": "false",  # a program from a cache has no account of memory
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "TMPDIR": str(folder),
    }
    if topology.platform == "cpu":
        kept["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={topology.devices}"
    else:
        kept |= {**_TPU_ENVIRONMENT, "TPU_LOG_DIR": str(folder)}
    return kept


@contextmanager
def _started(folder: Path, topology: Topology) -> Iterator[subprocess.Popen[bytes]]:
    with folder.joinpath("words.txt").open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "ramie.training.plan.worker", str(folder)],
            stdin=subprocess.PIPE,
            stdout=words,
            stderr=words,
            env=_environment(folder, topology),
        )
        try:
            yield process
        finally:  # also when the user interrupts
            process.kill()
            process.communicate()


def _run(folder: Path, topology: Topology) -> int:
    with _started(folder, topology) as process:
        return process.wait()


def _last_words(folder: Path, code: int) -> str:
    words = folder.joinpath("words.txt").read_text(encoding="utf-8", errors="replace")
    said = [line for line in words.splitlines() if line.strip()][-12:]
    end = f"exit code {code}"
    if code < 0:
        end = f"killed by {signal.Signals(-code).name}"
        end += ", perhaps for lack of memory on this machine" if code == -signal.SIGKILL else ""
    return "\n  ".join([f"its process ended ({end}). Its last words:", *(said or ["none"])])
