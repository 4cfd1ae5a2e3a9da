"""A run: train, show how it goes, save, and go on where the last run stopped."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.hyphenation import scoring, steps, words
from examples.hyphenation.settings import Settings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ramie import nnx
from ramie.training import checkpoints

LOOK = 1000  # held out words of a look at how it goes
SHOWN = 12  # held out words in the table at the end
SURE = 0.5  # a break is what is more likely than this


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
    """Return the bar: steps, loss, words a second, time left. It is for terminals only."""
    return Progress(
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("{task.fields[speed]:,.0f} words/s"),
        TimeRemainingColumn(),
        TextColumn("[cyan]left"),
        console=console,
        disable=not (shown and console.is_terminal),
    )


def data(settings: Settings) -> tuple[words.Words, words.Words]:
    """Return the words to train on and those held out."""
    everything = words.read(settings.longest)
    return words.divided(
        everything, settings.longest, settings.words, settings.held_out, settings.seed
    )


def restored(
    folder: Path, settings: Settings, must_exist: bool = True
) -> tuple[steps.Training, int]:
    """Read the newest checkpoint of a run.

    Args:
      folder: of the run.
      settings: of the run.
      must_exist: whether it is an error if there is none; if not, a new training is returned.

    Returns:
      The training, and how many steps it has done.
    """
    training = steps.Training(settings)
    state = nnx.state(training)
    # With no checkpoint in the folder the state comes back as it is.
    found = checkpoints.restore_checkpoint(
        folder / "checkpoints", state, strict=True, must_exist=must_exist
    )
    nnx.update(training, found)
    return training, int(training.optimizer.step[...])


def save(folder: Path, training: steps.Training, number: int) -> None:
    """Write a checkpoint; when this returns it is there wholly."""
    state = nnx.state(training)
    checkpoints.save_checkpoint(folder / "checkpoints", state, number, keep=2)


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
    trained_on, held_out = data(settings)
    batches = words.Batches(trained_on, settings.batch, settings.seed)
    training, done = restored(folder, settings, must_exist=False)
    console.print(
        f"{len(trained_on)} words to train on, {len(held_out)} held out"
        + (f"; goes on after step {done}" if done else "")
    )
    log = Log(folder, done)
    with Leaving() as leaving, bar(console, shown) as progress:
        task = progress.add_task("", total=settings.steps, completed=done, loss=0.0, speed=0.0)
        for number, loss, speed in trained(training, batches, settings, done):
            log.add(number, loss=loss)
            progress.update(task, completed=number, loss=loss, speed=speed)
            last = number == settings.steps
            if number % settings.every == 0 or last:
                found = steps.likely(training.model, held_out.first(LOOK).letters) > SURE
                f1 = scoring.scores(found, held_out.first(LOOK).breaks)["f1"]
                log.add(number, f1=f1)
                console.print(f"step {number}: F1 of the breaks in held out words {f1:.1f} %")
            if number % settings.every == 0 or last or leaving.signal:
                save(folder, training, number)
            if leaving.signal and not last:
                console.print(f"saved after step {number}; stopping as asked")
                return leaving.signal
    report(folder, training, held_out, console)
    return 0


def trained(
    training: steps.Training, batches: words.Batches, settings: Settings, done: int
) -> Iterator[tuple[int, float, float]]:
    """Train step by step; give the number of steps done, the loss and the words a second."""
    began = 0.0
    for number in range(done, settings.steps):
        loss = float(steps.compiled_step(training, *batches[number]))
        if number == done:
            began = time.monotonic()  # it has compiled
        passed = max(time.monotonic() - began, 1e-9)
        yield number + 1, loss, (number - done) * settings.batch / passed


def report(folder: Path, training: steps.Training, held_out: words.Words, console: Console) -> None:
    """Measure on all words that are held out, print some, and write ``result.json``."""
    found = steps.likely(training.model, held_out.letters) > SURE
    result = scoring.scores(found, held_out.breaks)
    console.print(
        "held out words: F1 {f1:.2f} %, precision {precision:.2f} %, recall {recall:.2f} %, "
        "{words:.2f} % of the words without a fault".format(**result)
    )
    table = Table("broken by the model", "by pyphen", title="words that were never trained on")
    for number, word in enumerate(held_out.first(SHOWN).spellings):
        said, right = (words.broken(word, x[number]) for x in (found, held_out.breaks))
        table.add_row(said + ("" if said == right else " ✗"), right)
    console.print(table)
    replace(folder / "result.json", json.dumps(result, indent=2) + "\n")


def say(folder: Path, settings: Settings, spellings: list[str]) -> list[tuple[str, str]]:
    """Break words with what a run has learned.

    Args:
      folder: of the run; it has to hold a checkpoint.
      settings: of the run.
      spellings: the words.

    Returns:
      Each word, and the same with hyphens.
    """
    letters = words.spelled(spellings, settings.longest)
    training, _ = restored(folder, settings)
    found = steps.likely(training.model, letters) > SURE
    rows = zip(spellings, found, strict=True)
    return [(word, words.broken(word, row)) for word, row in rows]
