"""The process that gets killed: it saves step after step, and says so before and after.

`python -m tests.faults.victim` imports everything once, since that takes longer than the saves, and
forks a child for each line it reads, a JSON object with the parameters of `save`. It prints
"pid N" when a child starts, "ended STATUS" when it is gone, and the child in between "begin STEP"
and "saved STEP": from then on that step is to survive everything. What is saved depends on the
step alone; `tests.faults.killing` checks it.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator

import numpy as np

from ramie import checkpoint
from ramie.configurations import config
from ramie.training import checkpoints

ARRAYS = 12
ITEMS = 20_000
CALLS = ("open", "write", "fsync", "fdatasync", "replace", "rename", "unlink", "rmdir", "mkdir")

Saver = Iterator[int]
"""Yields each step once it is acknowledged."""


def tree(step: int) -> dict[str, object]:
    """Return what is saved at a step."""
    arrays = [np.full(ITEMS + index, step + index, np.int32) for index in range(ARRAYS)]
    return {"step": step, "arrays": arrays}


def say(word: str, number: int) -> None:
    """Print a line in one piece, also if the process ends within it."""
    os.write(1, f"{word} {number}\n".encode())


def plain(folder: str, first: int) -> Saver:
    """Steps that grow; two stay."""
    for step in range(first, first + 10_000):
        say("begin", step)
        checkpoint.save(folder, tree(step), step, keep=2)
        yield step


def overwrite(folder: str, first: int) -> Saver:
    """Five steps over and over, so that files are replaced and later ones removed."""
    for step in range(first, first + 10_000):
        say("begin", step)
        checkpoint.save(folder, tree(step), step % 5, keep=2, overwrite=True)
        yield step


def background(folder: str, first: int) -> Saver:
    """Steps that grow, saved by a thread; the next call acknowledges the one before."""
    manager = checkpoints.AsyncManager()
    for step in range(first, first + 10_000):
        say("begin", step)
        checkpoints.save_checkpoint(folder, tree(step), step, keep=2, async_manager=manager)
        if step > first:
            yield step - 1


def orbax(folder: str, first: int) -> Saver:
    """Directories of Orbax, under steps that grow."""
    config.update("flax_use_orbax_checkpointing", True)
    for step in range(first, first + 10_000):
        say("begin", step)
        checkpoints.save_checkpoint(folder, tree(step), step, keep=2)
        yield step


def orbax_overwrite(folder: str, first: int) -> Saver:
    """Directories that replace each other; Orbax itself deletes the old one first."""
    config.update("flax_use_orbax_checkpointing", True)
    for step in range(first, first + 10_000):
        say("begin", step)
        checkpoints.save_checkpoint(folder, tree(step), step % 5, keep=2, overwrite=True)
        yield step


def orbax_background(folder: str, first: int) -> Saver:
    """Directories saved while a thread of ours waits; one stays."""
    config.update("flax_use_orbax_checkpointing", True)
    manager = checkpoints.AsyncManager()
    for step in range(first, first + 10_000):
        say("begin", step)
        checkpoints.save_checkpoint(folder, tree(step), step, async_manager=manager)
        if step > first:
            yield step - 1


def orbax_checkpointer(folder: str, first: int) -> Saver:
    """Directories saved by a background checkpointer of the user; one stays."""
    import orbax.checkpoint

    checkpointer = orbax.checkpoint.AsyncCheckpointer(orbax.checkpoint.PyTreeCheckpointHandler())
    for step in range(first, first + 10_000):
        say("begin", step)
        checkpoints.save_checkpoint(folder, tree(step), step, orbax_checkpointer=checkpointer)
        if step > first:
            yield step - 1


def sets(folder: str, first: int) -> Saver:
    """Safetensors under one name, in two files, in four, in one, over and over."""
    path = f"{folder}/m.safetensors"
    nbytes = 4 * (ITEMS + ARRAYS)
    for step in range(first, first + 10_000):
        say("begin", step)
        size = (6 * nbytes, 3 * nbytes, None)[step % 3]
        checkpoint.save_safetensors(path, tree(step), max_shard_bytes=size, overwrite=True)
        yield step


MODES: dict[str, Callable[[str, int], Saver]] = {
    "plain": plain,
    "overwrite": overwrite,
    "async": background,
    "sets": sets,
    "orbax": orbax,
    "orbax overwrite": orbax_overwrite,
    "orbax async": orbax_background,
    "orbax checkpointer": orbax_checkpointer,
}
IMPORTS = {mode: ("orbax.checkpoint",) for mode in MODES if mode.startswith("orbax")}
"""What a mode needs besides, imported once by the parent."""


def end_at(call: int) -> None:
    """End this process at a call of the operating system, writes in their middle."""
    left = call

    def wrap(name: str) -> None:
        original = getattr(os, name)

        def wrapper(*args: object, **kwargs: object) -> object:
            nonlocal left
            if args[0] == 1:  # our own announcements
                return original(*args, **kwargs)
            left -= 1
            if left == 0:
                if name == "write":
                    original(args[0], memoryview(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        setattr(os, name, wrapper)

    for name in CALLS:
        wrap(name)


def save(mode: str, folder: str, first: int, call: int | None) -> None:
    """Save, and never return.

    Args:
      mode: one of `MODES`.
      folder: where to.
      first: the first step.
      call: end the second save at that many calls of the operating system, by SIGKILL.
    """
    for count, step in enumerate(MODES[mode](folder, first)):
        say("saved", step)
        if call is not None and count == 0:
            end_at(call)
        if call is not None and count == 2:
            break  # there are fewer calls than that
    os._exit(0)


def main() -> None:
    """Fork a child for each line of the input."""
    for line in sys.stdin:
        order = json.loads(line)
        for module in IMPORTS.get(order["mode"], ()):
            importlib.import_module(module)
        child = os.fork()
        if child == 0:
            try:
                save(**order)
            except BaseException as failure:
                print(f"failed {failure!r}", file=sys.stderr, flush=True)
            os._exit(1)
        say("pid", child)
        _, status = os.waitpid(child, 0)
        say("ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
