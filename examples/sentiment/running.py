"""A run: train, show how it goes, save, and go on where the last run stopped."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from examples.sentiment import reviews, steps
from examples.sentiment.settings import Settings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ramie.training import checkpoints
from ramie.training.stepping import Stepper

SHOWN = 12  # held out reviews in the table at the end
CHARACTERS = 30  # of a review in the table


class Log:
    """What a run has measured, a line for each; a later run replaces what it measures again."""

    def __init__(self, folder: Path, done: int) -> None:
        self.path = folder / "log.jsonl"
        kept = [line for line in read_log(folder) if line["step"] <= done]
        replace(self.path, "".join(f"{json.dumps(line)}\n" for line in kept))

    def add(self, step: int, **values: float) -> None:
        """Write one line."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


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


def bar(console: Console, shown: bool) -> Progress:
    """Return the bar: steps, loss, reviews a second, time left. It is for terminals only."""
    return Progress(
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("{task.fields[speed]:,.0f} reviews/s"),
        TimeRemainingColumn(),
        TextColumn("[cyan]left"),
        console=console,
        disable=not (shown and console.is_terminal),
    )


class Data:
    """The reviews of a run, as texts and as rows of numbers.

    Args:
      settings: of the run.

    Attributes:
      trained_on: reviews, with their `rows`.
      held_out: reviews, with their `held_out_rows`.
      characters: the numbers of the characters.
    """

    def __init__(self, settings: Settings) -> None:
        self.longest = settings.longest
        self.trained_on, self.held_out = reviews.divided(settings)
        self.characters = reviews.Characters(self.trained_on, settings.rarest)
        self.rows = self.rows_of(self.trained_on.texts)
        self.held_out_rows = self.rows_of(self.held_out.texts)

    def rows_of(self, texts: list[str]) -> list[np.ndarray]:
        """Return the numbers of the characters of texts."""
        return [self.characters.row(text, self.longest) for text in texts]


def train(folder: Path, settings: Settings, shown: bool = True) -> int:
    """Train to the end, or until a signal asks to leave, and say how good it is.

    Args:
      folder: of the run; what is in there is continued.
      settings: the numbers of the run.
      shown: whether to print how it goes.

    Returns:
      The signal that ended the run early, or 0.
    """
    console = Console(quiet=not shown, highlight=False)
    data = Data(settings)
    batches = reviews.Batches(data.rows, data.trained_on.good, settings.batch, settings.seed)
    # With no checkpoint in the folder the state comes back as it is.
    state = checkpoints.restore_checkpoint(
        folder / "checkpoints", steps.create(settings, len(data.characters)), strict=True
    )
    done = int(state.step)
    console.print(
        f"{len(data.rows)} reviews to train on, {len(data.held_out)} held out"
        + (f"; goes on after step {done}" if done else "")
    )
    log = Log(folder, done)
    training = Stepper(steps.step, state, has_aux=True)
    del state  # so that its memory can be used again
    with Leaving() as leaving, bar(console, shown) as progress:
        task = progress.add_task("", total=settings.steps, completed=done, loss=0.0, speed=0.0)
        for number, loss, speed in trained(training, batches, settings, done):
            log.add(number, loss=loss)
            progress.update(task, completed=number, loss=loss, speed=speed)
            last = number == settings.steps
            if number % settings.every == 0 or last:
                right = accuracy(steps.judge(training.state, data.held_out_rows), data.held_out)
                log.add(number, accuracy=right)
                console.print(f"step {number}: {right:.1f} % of the held out reviews are right")
            if number % settings.every == 0 or last or leaving.signal:
                checkpoints.save_checkpoint(folder / "checkpoints", training.state, number, keep=2)
            if leaving.signal and not last:
                console.print(f"saved after step {number}; stopping as asked")
                return leaving.signal
    report(folder, steps.judge(training.state, data.held_out_rows), data.held_out, console)
    return 0


def trained(
    training: Stepper, batches: reviews.Batches, settings: Settings, done: int
) -> Iterator[tuple[int, float, float]]:
    """Train step by step; give the number of steps done, the loss and the reviews a second."""
    began = 0.0
    for number in range(done, settings.steps):
        loss = float(training(*batches[number]))
        if number == done:
            began = time.monotonic()  # it has compiled
        passed = max(time.monotonic() - began, 1e-9)
        yield number + 1, loss, (number - done) * settings.batch / passed


def accuracy(likely: np.ndarray, some: reviews.Reviews) -> float:
    """Return how many of a hundred reviews are judged right.

    Args:
      likely: how likely it is that each writer was content.
      some: the reviews.
    """
    return 100 * float(np.mean((likely > 0.5) == some.good))


def report(folder: Path, likely: np.ndarray, held_out: reviews.Reviews, console: Console) -> None:
    """Print how good it is and some reviews, and write ``result.json``."""
    sure = (likely < 0.1) | (likely > 0.9)
    result = {
        "accuracy": accuracy(likely, held_out),
        "most_frequent": 100 * float(max(held_out.good.mean(), 1 - held_out.good.mean())),
        "sure": 100 * float(sure.mean()),
        "accuracy_where_sure": (
            accuracy(likely[sure], held_out.chosen(np.flatnonzero(sure))) if sure.any() else None
        ),
    }
    console.print(
        f"held out reviews: {result['accuracy']:.2f} % are right, where always the same answer "
        f"gets {result['most_frequent']:.2f} %"
    )
    if sure.any():
        console.print(
            f"of {result['sure']:.1f} % the model is sure (90 to 10, or more); of these "
            f"{result['accuracy_where_sure']:.2f} % are right"
        )
    table = Table("review", "content?", "in truth", title="reviews that were never trained on")
    for number in range(min(SHOWN, len(held_out))):
        text = held_out.texts[number]
        short = text if len(text) <= CHARACTERS else text[:CHARACTERS] + "…"
        right = (likely[number] > 0.5) == held_out.good[number]
        said = f"{100 * likely[number]:.0f} %" + ("" if right else " ✗")
        table.add_row(short, said, "yes" if held_out.good[number] else "no")
    console.print(table)
    replace(folder / "result.json", json.dumps(result, indent=2) + "\n")


def restored(folder: Path, settings: Settings, data: Data) -> steps.State:
    """Return the state of the newest checkpoint of a run."""
    return checkpoints.restore_checkpoint(
        folder / "checkpoints",
        steps.create(settings, len(data.characters)),
        strict=True,
        must_exist=True,
    )


def say(folder: Path, settings: Settings, texts: list[str]) -> list[tuple[str, str]]:
    """Judge texts with what a run has learned.

    Args:
      folder: of the run; it has to hold a checkpoint.
      settings: of the run.
      texts: in Chinese.

    Returns:
      Each text, and how likely it is that its writer was content.
    """
    if not all(texts):
        raise ValueError("an empty text was given; there is nothing to judge.")
    data = Data(settings)
    likely = steps.judge(restored(folder, settings, data), data.rows_of(texts))
    return [(text, f"{100 * one:.0f} %") for text, one in zip(texts, likely, strict=True)]
