"""Saving and restoring one large state, against writing and reading the same bytes.

Each measurement is a process of its own: the peak of its memory is then the peak of one action.
`python -m benchmarks.checkpoint LIBRARY save|restore MEGABYTES FOLDER` prints seconds and MB.
"""

import functools
import gc
import importlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Series, alternate
from benchmarks.processes import run_python

ARRAYS = 16
MEGABYTE = 10**6
LIBRARIES = ("ramie", "flax", "plain file")


def _state(megabytes: int) -> dict[str, Any]:
    import jax
    import numpy as np

    size = megabytes * MEGABYTE // ARRAYS // 4
    names = [f"array_{index:02d}" for index in range(ARRAYS)]
    arrays = {name: jax.numpy.asarray(np.full(size, 1.5, np.float32)) for name in names}
    return jax.block_until_ready(arrays)


def _save_plainly(folder: Path, state: dict[str, Any]) -> None:
    import numpy as np

    with open(folder / "plain", "wb") as file:
        for array in state.values():
            file.write(np.asarray(array).data)
        file.flush()
        os.fsync(file.fileno())


def _restore_plainly(folder: Path, megabytes: int) -> Any:
    import numpy as np

    arrays = np.empty((ARRAYS, megabytes * MEGABYTE // ARRAYS // 4), np.float32)
    with open(folder / "plain", "rb") as file:
        for array in arrays:
            file.readinto(array.data)
    return arrays


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


def main(library: str, action: str, megabytes: int, folder: Path) -> None:
    """Perform one action once and print its wall seconds and the memory it added at its peak."""
    state = _state(megabytes)
    work: Callable[[], Any]
    if library == "plain file":
        save, restore = _save_plainly, _restore_plainly
        work = functools.partial(save, folder, state)
        if action == "restore":
            work = functools.partial(restore, folder, megabytes)
    else:
        # Like with like: Flax's msgpack files, which are what Ramie writes, not Orbax folders.
        flags = importlib.import_module(library).config
        flags.update("flax_use_orbax_checkpointing", False)
        checkpoints = importlib.import_module(f"{library}.training.checkpoints")
        work = functools.partial(checkpoints.save_checkpoint, str(folder), state, step=1)
        if action == "restore":
            work = functools.partial(checkpoints.restore_checkpoint, str(folder), target=None)
    if action == "restore":
        state.clear()
    gc.collect()
    _forget_peak()
    before = _memory("VmRSS")
    start = time.perf_counter()
    kept = work()
    seconds = time.perf_counter() - start
    print(seconds, _memory("VmHWM") - before)
    del kept


def measure(rounds: int, megabytes: int) -> tuple[dict[str, dict[str, Series]], dict[str, float]]:
    """Return wall seconds by action and contender, and the peak memory by "action contender"."""
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="ramie-bench-") as workspace:

        def run(library: str, action: str) -> float:
            folder = Path(workspace) / library.replace(" ", "-")
            if action == "save":
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            arguments = ("-m", "benchmarks.checkpoint", library, action, str(megabytes))
            seconds, peak = map(float, run_python(*arguments, str(folder)).split())
            key = f"{action} {library}"
            peaks[key] = max(peak, peaks.get(key, 0.0))
            return seconds

        times = {
            action: alternate(
                {name: functools.partial(run, name, action) for name in LIBRARIES}, rounds
            )
            for action in ("save", "restore")
        }
    return times, peaks


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
