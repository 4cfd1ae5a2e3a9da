"""Saving and restoring states, by Ramie and by others, against plain files of the same bytes.

Each measurement is a process of its own: the peak of its memory is then the peak of one action.
`python -m benchmarks.checkpoint CONTENDER ACTION WORKLOAD MEGABYTES FOLDER` prints seconds and MB.

A plain file is written array by array and synced. It is read into as many new arrays as are saved,
since that is what one has after a restore; a row of its own says what one block for all of them
takes, which the kernel may give in large pages. Against verifying stands reading through one small
buffer, which takes no memory. What is read is in the kernel's cache, or, where "cold" is said, was
dropped from there. "Into" is a restore into a target of JAX arrays, otherwise there is no target.
A save goes into an empty folder, or, where "again" is said, is the second of a process.
"""

import functools
import gc
import importlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import Series, alternate
from benchmarks.processes import run_python

ARRAYS = 200
SMALL_ARRAYS = 20_000
SMALL_ITEMS = 64
MEGABYTE = 10**6
STEP = 1
BUFFER = 1 << 20

Work = Callable[[], Any]


def large_state(megabytes: int, module: Any) -> dict[str, Any]:
    """Return the state of a size in `ARRAYS` arrays of float32, of numpy or jax.numpy."""
    size = megabytes * MEGABYTE // ARRAYS // 4
    return {f"array_{index:03d}": module.full(size, index + 0.5) for index in range(ARRAYS)}


def small_state(_: int, module: Any) -> dict[str, Any]:
    """Return a state of many small arrays, a hundred in a dictionary."""
    array = module.arange(SMALL_ITEMS, dtype="float32")
    return {
        f"layer_{layer:03d}": {f"array_{index:02d}": array + index for index in range(100)}
        for layer in range(SMALL_ARRAYS // 100)
    }


STATES = {"large": large_state, "small": small_state}

# --- the contenders -------------------------------------------------------------------------------


class Contender(NamedTuple):
    """How a library saves a state, restores it into a target, and looks for damage.

    `defer` saves in the background and returns how to wait for it.
    """

    save: Callable[[Path, Any], Any]
    restore: Callable[[Path, Any], Any]
    defer: Callable[[Path, Any], Work] | None = None
    verify: Callable[[Path], Any] | None = None


def _plain(leaves: Any, *, in_one_block: bool = False) -> Contender:
    def save(folder: Path, state: dict[str, Any]) -> None:
        import numpy as np

        with open(folder / "plain", "wb") as file:
            for array in leaves(state):
                file.write(np.asarray(array).data)
            file.flush()
            os.fsync(file.fileno())

    def restore(folder: Path, _: Any) -> Any:
        import numpy as np

        path = folder / "plain"
        size = path.stat().st_size // ARRAYS
        arrays = np.empty((ARRAYS, size), np.uint8) if in_one_block else _new_arrays(size)
        found = []
        with open(path, "rb", buffering=0) as file:
            for array in arrays:
                file.readinto(array.data)
                found.append(array)
        return found

    def verify(folder: Path) -> None:
        memory = memoryview(bytearray(BUFFER))
        with open(folder / "plain", "rb", buffering=0) as file:
            while file.readinto(memory):
                pass

    return Contender(save, restore, verify=verify)


def _new_arrays(size: int) -> Iterator[Any]:
    import numpy as np

    for _ in range(ARRAYS):
        yield np.empty(size, np.uint8)


def _documented(library: str, *, orbax: bool = False) -> Contender:
    """Return the documented functions of Flax, as they are in a library."""

    def checkpoints() -> Any:
        # Like with like: msgpack files against msgpack files, Orbax folders against those.
        importlib.import_module(library).config.update("flax_use_orbax_checkpointing", orbax)
        return importlib.import_module(f"{library}.training.checkpoints")

    def save(folder: Path, state: Any) -> None:
        checkpoints().save_checkpoint(str(folder), state, step=STEP, overwrite=True)

    def restore(folder: Path, target: Any) -> Any:
        return checkpoints().restore_checkpoint(str(folder), target)

    def defer(folder: Path, state: Any) -> Work:
        manager = checkpoints().AsyncManager()
        checkpoints().save_checkpoint(str(folder), state, step=STEP, async_manager=manager)
        return manager.wait_previous_save

    def verify(folder: Path) -> None:
        health = importlib.import_module(library).checkpoint.verify(folder / f"checkpoint_{STEP}")
        if health.state != "intact":
            raise RuntimeError(health.problem)

    return Contender(save, restore, None if orbax else defer, verify)


def _orbax() -> Contender:
    def save(folder: Path, state: Any) -> None:
        import orbax.checkpoint as ocp

        ocp.PyTreeCheckpointer().save(folder / "orbax", state, force=True)

    def restore(folder: Path, _: Any) -> Any:
        import orbax.checkpoint as ocp

        return ocp.PyTreeCheckpointer().restore(folder / "orbax")

    def defer(folder: Path, state: Any) -> Work:
        import orbax.checkpoint as ocp

        checkpointer = ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler())
        checkpointer.save(folder / "orbax", state)
        return checkpointer.wait_until_finished

    return Contender(save, restore, defer)


def _safetensors() -> Contender:
    def save(folder: Path, state: Any) -> None:
        import numpy as np
        from safetensors.numpy import save_file

        flat = importlib.import_module("ramie.traverse_util").flatten_dict(state, sep="/")
        save_file({name: np.asarray(array) for name, array in flat.items()}, folder / "tensors")

    def restore(folder: Path, _: Any) -> Any:
        from safetensors.numpy import load_file

        return load_file(folder / "tensors")

    return Contender(save, restore)


def _copy() -> Contender:
    def nothing(*_: Any) -> None:
        raise NotImplementedError("a copy in memory is neither saved nor restored")

    def defer(_: Path, state: Any) -> Work:
        import numpy as np

        copies = [np.empty(array.shape, array.dtype) for array in state.values()]
        for copy, array in zip(copies, state.values(), strict=True):
            np.copyto(copy, array)
        return copies.clear

    return Contender(nothing, nothing, defer)


def _leaves(state: Any) -> list[Any]:
    import jax

    return jax.tree.leaves(state)


PLAIN, BLOCK, COPY = "plain file", "plain file, one block", "np.copyto"
CONTENDERS: dict[str, Contender] = {
    PLAIN: _plain(_leaves),
    BLOCK: _plain(_leaves, in_one_block=True),
    "ramie": _documented("ramie"),
    "flax": _documented("flax"),
    "flax, orbax backend": _documented("flax", orbax=True),
    "orbax": _orbax(),
    "safetensors": _safetensors(),
    COPY: _copy(),
}
SYNCHRONOUS = (PLAIN, "ramie", "flax", "flax, orbax backend", "orbax", "safetensors")
# The Orbax ones write files for each array, and take minutes for many small ones.
NOT_MANY = ("flax, orbax backend", "orbax")
WORKLOADS = (
    ("large", "save"),
    ("large", "save again"),
    ("large", "restore"),
    ("large", "restore cold"),
    ("large", "verify"),
    ("large", "verify cold"),
    ("large", "defer"),
    ("small", "save"),
    ("small", "restore"),
    ("small", "restore into"),
)
BACKGROUND = (COPY, "ramie", "ramie, numpy", "flax", "orbax")
VERIFYING = (PLAIN, "ramie")
RESTORING_INTO = ("ramie", "flax")

# --- one measurement ------------------------------------------------------------------------------


def _memory(field: str) -> float:
    """Read a line of this process's status in megabytes (Linux; elsewhere zero)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024 / MEGABYTE


def _forget_peak() -> None:
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")


def _drop(folder: Path) -> None:
    """Have the kernel forget the content of files, so that it has to be read from the disk."""
    for path in folder.rglob("*"):
        if path.is_file() and hasattr(os, "posix_fadvise"):
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main(name: str, action: str, workload: str, megabytes: int, folder: Path) -> None:
    """Perform one action once and print its wall seconds and the memory it added at its peak."""
    import jax
    import numpy as np

    contender = CONTENDERS[name.removesuffix(", numpy")]
    on_host = name.endswith(", numpy") or name == COPY
    verb, _, manner = action.partition(" ")
    state: Any = None
    if verb in ("save", "defer") or manner == "into":
        state = STATES[workload](megabytes, np if on_host else jax.numpy)
        if on_host:
            state = jax.tree.map(lambda array: array.astype(np.float32), state)
        jax.block_until_ready(state)
    works = {
        "save": lambda: contender.save(folder, state),
        "restore": lambda: contender.restore(folder, state),
        "defer": lambda: contender.defer(folder, state),  # type: ignore[misc]
        "verify": lambda: contender.verify(folder),  # type: ignore[misc]
    }
    _import_all(name)
    if manner == "again":
        works[verb]()
    os.sync()  # what others left to the kernel to write is not to be paid for here
    if manner == "cold":
        _drop(folder)
    gc.collect()
    _forget_peak()
    before = _memory("VmRSS")
    start = time.perf_counter()
    kept = works[verb]()
    seconds = time.perf_counter() - start
    if verb == "restore" and kept is state:
        raise RuntimeError("there was nothing to restore")
    print(seconds, _memory("VmHWM") - before)
    if action == "defer":
        kept()


def _import_all(name: str) -> None:
    """Import what would else be imported while the clock runs, and start JAX."""
    import jax

    jax.numpy.zeros(1).block_until_ready()
    needs = {
        "ramie": ("ramie.training.checkpoints", "ramie.checkpoint", "xxhash"),
        "flax": ("flax.training.checkpoints",),
        "orbax": ("orbax.checkpoint",),
        "safetensors": ("safetensors.numpy", "ramie.traverse_util"),
    }
    for module in needs.get(name.partition(",")[0], ()):
        importlib.import_module(module)


# --- all of them ----------------------------------------------------------------------------------


class Measured(NamedTuple):
    """Wall seconds by contender, and the most memory that each added, in megabytes."""

    times: dict[str, Series]
    peaks: dict[str, float]


def measure(workload: str, action: str, rounds: int, megabytes: int, workspace: Path) -> Measured:
    """Let all contenders take turns with one action; those that restore find what they saved."""
    peaks: dict[str, float] = {}

    def run(name: str) -> float:
        owner = PLAIN if name == BLOCK else name
        folder = workspace / "".join(letter for letter in owner if letter.isalnum())
        if action.startswith(("save", "defer")):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        arguments = ("-m", "benchmarks.checkpoint", name, action, workload, str(megabytes))
        output = run_python(*arguments, str(folder)).strip().splitlines()[-1]
        if action == "defer":
            shutil.rmtree(folder)
        seconds, peak = map(float, output.split())
        peaks[name] = max(peak, peaks.get(name, 0.0))
        return seconds

    verb, _, manner = action.partition(" ")
    names = {"defer": BACKGROUND, "verify": VERIFYING}.get(verb, SYNCHRONOUS)
    if verb == "restore" and workload == "large":
        names = (PLAIN, BLOCK, *names[1:])
    if manner == "into":
        names = RESTORING_INTO
    elif workload == "small":
        names = tuple(name for name in names if name not in NOT_MANY)
        if action == "save":  # where much of the time goes into asking JAX for each array
            names += ("ramie, numpy", "flax, numpy")
    runs = {name: functools.partial(run, name) for name in names}
    return Measured(alternate(runs, rounds), peaks)


def measure_all(rounds: int, megabytes: int) -> dict[str, Measured]:
    """Return what was measured by "workload action"; TMPDIR has to be on a disk, not in memory."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="ramie-bench-") as workspace:
        for workload, action in WORKLOADS:
            found[f"{workload} {action}"] = measure(
                workload, action, rounds, megabytes, Path(workspace)
            )
    return found


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), Path(sys.argv[5]))
