"""Training step by step, whatever is trained: shown, saved, and gone on with where it stopped."""

import contextlib
import dataclasses
import json
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from examples.lora import steps, texts
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ramie import nnx
from ramie.training import checkpoints


class Log:
    """What a stage has measured, a line for each step; what is measured again is replaced."""

    def __init__(self, folder: Path, stage: str, done: int) -> None:
        self.path, self.stage = folder / "log.jsonl", stage
        kept = [x for x in read_log(folder) if x["stage"] != stage or x["step"] <= done]
        replace(self.path, "".join(f"{json.dumps(line)}\n" for line in kept))

    def add(self, step: int, **values: float) -> None:
        """Write one line."""
        with self.path.open("a") as file:
            file.write(json.dumps({"stage": self.stage, "step": step, **values}) + "\n")


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return what was measured; a line that a kill cut short is left out."""
    path = folder / "log.jsonl"
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            found.append(json.loads(line))
    return found


def replace(path: Path, text: str) -> None:
    """Write a file so that it is there wholly or as it was before."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)


class Leaving:
    """Notices Ctrl-C and SIGTERM, so that a loop can end between two steps; twice ends at once."""

    def __init__(self) -> None:
        self.signal = 0

    def __enter__(self) -> "Leaving":
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._notice) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _notice(self, number: int, _: object) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number


def bar(console: Console, stage: str) -> Progress:
    """Return the bar: steps, loss, bytes a second, time left. It is for terminals only."""
    return Progress(
        TextColumn(stage),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("{task.fields[speed]:,.0f} bytes/s"),
        TimeRemainingColumn(),
        TextColumn("[cyan]left"),
        console=console,
        disable=console.quiet or not console.is_terminal,
    )


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a run.

    Attributes:
      name: of its checkpoints, and in the log.
      steps: how many.
      every: steps between checkpoints, and between looks at held out text.
    """

    name: str
    steps: int
    every: int


def of_checkpoint(training: steps.Training) -> nnx.State:
    """Return what a checkpoint has to hold: the optimizer, and the parameters that are trained."""
    if training.optimizer.wrt is nnx.LoRAParam:
        return nnx.state(training, nnx.Not(steps.FROZEN))
    return nnx.state(training)


def train(
    folder: Path,
    stage: Stage,
    training: steps.Training,
    batches: texts.Batches,
    look: list[np.ndarray],
    console: Console,
) -> int:
    """Train to the end, or until a signal asks to leave.

    Args:
      folder: of the run; what is in there is continued.
      stage: which part of it this is.
      training: is changed.
      batches: what it learns from.
      look: batches of text that is held out.
      console: where to print.

    Returns:
      The signal that ended the stage early, or 0.
    """
    saved = folder / "checkpoints" / stage.name
    state = of_checkpoint(training)
    # With no checkpoint in the folder the state comes back as it is.
    nnx.update(training, checkpoints.restore_checkpoint(saved, state, strict=True))
    done = int(training.optimizer.step[...])
    if done and done < stage.steps:
        console.print(f"{stage.name}: goes on after step {done}")
    log = Log(folder, stage.name, done)
    with Leaving() as leaving, bar(console, stage.name) as progress:
        task = progress.add_task("", total=stage.steps, completed=done, loss=0.0, speed=0.0)
        for number, loss, seconds in trained(training, batches, stage.steps, done):
            if not math.isfinite(loss):
                raise ValueError(
                    f"{stage.name}: the loss at step {number} is no number. Take a lower --rate "
                    "(of adapters) or --full_rate, and another --workdir."
                )
            log.add(number, loss=loss)
            speed = batches.bytes / seconds if seconds else 0.0
            progress.update(task, completed=number, loss=loss, speed=speed)
            last = number == stage.steps
            if number % stage.every == 0 or last:
                found = steps.bits(training.model, look)
                log.add(number, bits=found)
                console.print(f"{stage.name}, step {number}: held out text {found:.3f} bits a byte")
            if number % stage.every == 0 or last or leaving.signal:
                checkpoints.save_checkpoint(saved, of_checkpoint(training), number, keep=2)
            if last and seconds:
                note_time(folder, stage.name, seconds)
            if leaving.signal:
                console.print(f"saved after step {number}; stopping as asked")
                return leaving.signal
    return leaving.signal


def trained(
    training: steps.Training, batches: texts.Batches, count: int, done: int
) -> Iterator[tuple[int, float, float]]:
    """Train step by step; give the number of steps done, the loss, and the seconds of a step."""
    total = 0.0
    for number in range(done, count):
        began = time.perf_counter()
        loss = float(steps.step(training, batches[number]))
        if number > done:  # the first one compiles
            total += time.perf_counter() - began
        yield number + 1, loss, total / max(number - done, 1)


def note_time(folder: Path, name: str, seconds: float) -> None:
    """Write how long something took; in a file of its own, because it is never twice the same."""
    path = folder / "times.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    replace(path, json.dumps({**found, name: seconds}, indent=2) + "\n")
