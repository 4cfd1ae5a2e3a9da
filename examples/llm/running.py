"""A run: train, show how it goes, save, and go on where the last run stopped."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from examples.llm import meshes, sampling, saving, steps, text
from examples.llm.settings import Settings
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

CHECKED = 8  # batches of held out text


def is_first() -> bool:
    """Tell whether this process is the one that prints and writes."""
    return jax.process_index() == 0


class Log:
    """The losses of a run, a line for each step; a later run replaces what it computes again."""

    def __init__(self, folder: Path, done: int) -> None:
        self.path = folder / "losses.jsonl"
        kept = [line for line in self.lines() if line["step"] <= done]
        if is_first():
            self.path.write_text("".join(f"{json.dumps(line)}\n" for line in kept))

    def lines(self) -> list[dict[str, Any]]:
        """Return what was written; a line that a kill cut short is left out."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found

    def add(self, step: int, **values: float) -> None:
        """Write one line."""
        if is_first():
            with self.path.open("a") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")


def bar(settings: Settings, shown: bool) -> Progress:
    """Return the bar: steps, loss, bytes a second, time left."""
    return Progress(
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("{task.fields[speed]:,.0f} bytes/s"),
        TimeRemainingColumn(),
        disable=not shown,
    )


def train(folder: Path, settings: Settings, mesh_text: str, every: int, quiet: bool) -> bool:
    """Train to the end, or until the machine is to be taken away.

    Args:
      folder: of the run; what is in there is continued.
      settings: the sizes.
      mesh_text: how the devices are divided.
      every: steps between checkpoints.
      quiet: whether to print nothing on the way.

    Returns:
      Whether the run has come to its end.
    """
    mesh = meshes.make(meshes.sizes(mesh_text, jax.device_count()))
    sharding = meshes.of_batches(mesh)
    everything = text.read()
    border = int(len(everything) * (1 - text.HELD_OUT))
    batches = text.batches(
        everything[:border], settings.length, settings.batch, sharding, settings.seed
    )
    with jax.set_mesh(mesh), saving.manager(folder, every) as checkpoints:
        done = 0
        if checkpoints.latest_step() is None:
            training = steps.create(settings)
        else:
            training, done = saving.restore(checkpoints, steps.abstract(settings), batches)
            say(f"goes on after step {done}", quiet)
        log = Log(folder, done)
        with bar(settings, is_first() and not quiet) as progress:
            task = progress.add_task("", total=settings.steps, completed=done, loss=0.0, speed=0.0)
            for number, loss, speed in trained(training, batches, settings, sharding, done):
                log.add(number, loss=loss)
                progress.update(task, completed=number, loss=loss, speed=speed)
                last = number == settings.steps
                leaving = checkpoints.reached_preemption(number)
                saving.save(checkpoints, number, training, batches, force=last or leaving)
                if leaving and not last:
                    checkpoints.wait_until_finished()
                    say(f"saved after step {number}, and leaves as it was told", quiet)
                    return False
        checkpoints.wait_until_finished()
        held_out = held_out_loss(training, everything[border:], settings, sharding)
        say(f"loss on text that was never trained on: {held_out:.4f} nats a byte", quiet)
        for sample in samples(settings, training) if jax.process_count() == 1 else []:
            say(sample, quiet)
    if is_first():
        (folder / "result.json").write_text(json.dumps({"held_out": held_out}))
    return True


def trained(
    training: steps.Training,
    batches: Any,
    settings: Settings,
    sharding: jax.sharding.NamedSharding,
    done: int,
) -> Iterator[tuple[int, float, float]]:
    """Train step by step; give the number of steps done, the loss and the bytes a second."""
    first, began = done + 1, 0.0
    for number in range(first, settings.steps + 1):
        batch = text.placed(next(batches), settings.batch, sharding)
        loss = float(steps.compiled_step(training, batch))
        if number == first:
            began = time.monotonic()  # it has compiled
        passed = max(time.monotonic() - began, 1e-9)
        size = settings.batch * settings.length
        yield number, loss, (number - first) * size / passed


def held_out_loss(
    training: steps.Training,
    part: np.ndarray,
    settings: Settings,
    sharding: jax.sharding.NamedSharding,
) -> float:
    """Return the mean loss over the first batches of text that training never sees."""
    batches = text.batches(part, settings.length, settings.batch, sharding, seed=0)
    losses = []
    for _ in range(CHECKED):
        batch = text.placed(next(batches), settings.batch, sharding)
        losses.append(float(steps.compiled_loss(training.model, batch)))
    return float(np.mean(losses))


def samples(settings: Settings, training: steps.Training) -> list[str]:
    """Return two continuations of a beginning."""
    found = sampling.sample(settings, training.model, b"import os\n\ndef ", count=2)
    return [f"--- sample\n{sample.decode(errors='replace')}" for sample in found]


def say(message: str, quiet: bool) -> None:
    """Print in the first process."""
    if is_first() and not quiet:
        print(message, flush=True)
