"""Killing a `victim` at random moments or at chosen calls, and looking at what it leaves behind."""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults import tally
from tests.faults.victim import ARRAYS, ITEMS

ROOT = Path(__file__).resolve().parents[2]


def check_content(state: Any) -> int:
    """Return the step of a restored state, having compared every number in it."""
    step = int(state["step"])
    arrays = state["arrays"]
    assert len(arrays) == ARRAYS
    for index in range(ARRAYS):
        array = arrays[str(index)] if isinstance(arrays, dict) else arrays[index]
        assert array.shape == (ITEMS + index,)
        assert (array == step + index).all(), f"step {step}, array {index}"
    return step


class Killer:
    """Lets a victim save, and kills it, as often as wanted."""

    def __init__(self, victim: subprocess.Popen[bytes]) -> None:
        self._victim = victim
        self._rest = b""
        self._lines: list[str] = []
        self._seconds: dict[str, float] = {}

    def kill_somewhere(self, mode: str, folder: Path, first: int, generator: random.Random) -> int:
        """Kill it at a random moment of one of its first saves.

        Args:
          mode: a mode of `tests.faults.victim`.
          folder: where it saves.
          first: the first step to save.
          generator: decides on the moment.

        Returns:
          The last acknowledged step; `first - 1` if there is none.
        """
        child = self._start(mode, folder, first)
        seconds = self._seconds.setdefault(mode, 0.01)
        skipped = generator.randint(0, 2)
        acknowledged = first - 1
        while skipped and (line := self._line(None)):
            word, number = line
            if word == "saved":
                skipped -= 1
                acknowledged = number
            assert word != "ended", f"the victim ended by itself with status {number}"
        began = time.monotonic()
        end = began + generator.uniform(0, 2.0) * seconds
        while line := self._line(end):
            if line[0] == "saved":
                acknowledged = line[1]
                self._seconds[mode] = 0.8 * seconds + 0.2 * (time.monotonic() - began)
                began = time.monotonic()
            assert line[0] != "ended", f"the victim ended by itself with status {line[1]}"
        os.kill(child, signal.SIGKILL)
        return self._until_end(acknowledged)[0]

    def kill_at_call(self, mode: str, folder: Path, first: int, call: int) -> tuple[int, bool]:
        """Let it end at one call of the operating system in its second save.

        Returns:
          The last acknowledged step, and whether the save has that many calls.
        """
        self._start(mode, folder, first, call)
        acknowledged, status = self._until_end(first - 1)
        assert status in (0, -signal.SIGKILL)
        return acknowledged, status != 0

    def follow(self, mode: str, folder: Path, first: int, saves: int) -> Iterator[int]:
        """Let it save so many steps, and yield each when it is acknowledged; then kill it."""
        child = self._start(mode, folder, first)
        while saves and (line := self._line(None)):
            assert line[0] != "ended", f"the victim ended by itself with status {line[1]}"
            if line[0] == "saved":
                saves -= 1
                yield line[1]
        os.kill(child, signal.SIGKILL)
        self._until_end(first)

    def _start(self, mode: str, folder: Path, first: int, call: int | None = None) -> int:
        assert self._victim.stdin is not None
        order = {"mode": mode, "folder": str(folder), "first": first, "call": call}
        self._victim.stdin.write(json.dumps(order).encode() + b"\n")
        self._victim.stdin.flush()
        early = []  # the child may speak first
        while (line := self._line(None)) is not None and line[0] != "pid":
            early.append(f"{line[0]} {line[1]}")
        assert line is not None, "the victim could not start"
        self._lines = early + self._lines
        return line[1]

    def _until_end(self, acknowledged: int) -> tuple[int, int]:
        while (line := self._line(None)) is not None:
            if line[0] == "ended":
                return acknowledged, line[1]
            if line[0] == "saved":
                acknowledged = line[1]
        raise AssertionError("the victim is gone altogether")

    def _line(self, end: float | None) -> tuple[str, int] | None:
        """Return the next line, or None when time is up or the victim gone."""
        assert self._victim.stdout is not None
        while not self._lines:
            wait = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self._victim.stdout], [], [], wait)[0]:
                return None
            data = os.read(self._victim.stdout.fileno(), 1 << 16)
            if not data:
                return None
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._lines = [line.decode() for line in lines]
        word, number = self._lines.pop(0).split()
        return word, int(number)


@contextmanager
def victim() -> Iterator[Killer]:
    """Start a victim."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.victim"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    try:
        yield Killer(process)
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait()


def kill_again_and_again(
    killer: Killer, mode: str, folder: Path, kills: int, look: Callable[[], int]
) -> None:
    """Kill at random moments; after each, everything that is there has to be whole.

    Args:
      killer: kills.
      mode: a mode of `tests.faults.victim`.
      folder: where it saves.
      kills: how often.
      look: restores all that is there, having it checked by `check_content`; returns the latest
        step, or -1 if there is nothing.
    """
    generator = random.Random(mode)
    first = 0
    for _ in range(kills):
        acknowledged = killer.kill_somewhere(mode, folder, first, generator)
        with tally.fault("kills", tally.LOST):
            latest = look()
            assert latest >= acknowledged, f"step {acknowledged} was lost, {latest} is there"
        first = latest + 1
