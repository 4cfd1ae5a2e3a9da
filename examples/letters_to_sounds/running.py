"""A run: train, show how it goes, save, and go on where the last run stopped."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.letters_to_sounds import scoring, steps, words
from examples.letters_to_sounds.settings import Settings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ramie.training import checkpoints
from ramie.training.stepping import Stepper

LOOK = 500  # held out words of a look at how it goes
SHOWN = 12  # held out words in the table at the end


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
    everything = words.read(settings.longest)
    trained_on, held_out = words.divided(
        everything, settings.words, settings.held_out, settings.seed
    )
    batches = words.Batches(trained_on, settings.longest, settings.batch, settings.seed)
    # With no checkpoint in the folder the state comes back as it is.
    state = checkpoints.restore_checkpoint(folder / "checkpoints", steps.create(settings))
    done = int(state.step)
    console.print(
        f"{len(trained_on)} words to train on, {len(held_out)} held out"
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
                look(training, held_out, settings, number, log, console)
            if number % settings.every == 0 or last or leaving.signal:
                state = training.state
                checkpoints.save_checkpoint(folder / "checkpoints", state, number, keep=2)
                del state
            if leaving.signal and not last:
                console.print(f"saved after step {number}; stopping as asked")
                return leaving.signal
    report(folder, training.state.params, held_out, settings, console)
    return 0


def trained(
    training: Stepper, batches: words.Batches, settings: Settings, done: int
) -> Iterator[tuple[int, float, float]]:
    """Train step by step; give the number of steps done, the loss and the words a second."""
    began = 0.0
    for number in range(done, settings.steps):
        loss = float(training(*batches[number]))
        if number == done:
            began = time.monotonic()  # it has compiled
        passed = max(time.monotonic() - began, 1e-9)
        yield number + 1, loss, (number - done) * settings.batch / passed


def look(
    training: Stepper,
    held_out: words.Words,
    settings: Settings,
    number: int,
    log: Log,
    console: Console,
) -> None:
    """Measure on some words that are held out, by the greedy search, which is fast."""
    some = held_out.chosen(range(min(LOOK, len(held_out))))
    said = steps.pronounce(training.state.params, some.spellings, settings, beams=1)
    wrong, _ = scoring.rates(said, some)
    log.add(number, phoneme_error_rate=wrong)
    console.print(f"step {number}: {wrong:.1f} % of the sounds of held out words are wrong")


def report(
    folder: Path, params: Any, held_out: words.Words, settings: Settings, console: Console
) -> None:
    """Measure on all words that are held out, print some, and write ``result.json``."""
    result = {}
    for name, beams in [("greedy", 1), ("beam", settings.beams)]:
        said = steps.pronounce(params, held_out.spellings, settings, beams)
        wrong, wrong_words = scoring.rates(said, held_out)
        result[name] = {"phoneme_error_rate": wrong, "word_error_rate": wrong_words}
        console.print(
            f"{name} search: {wrong:.2f} % of the sounds are wrong, "
            f"{wrong_words:.2f} % of the words have a wrong sound"
        )
    table = Table("word", "said", "in the dictionary", title="words that were never trained on")
    rows = zip(held_out.spellings, said, held_out.pronunciations, strict=True)
    for word, found, right in list(rows)[:SHOWN]:
        mark = "" if found in right else " ✗"
        table.add_row(word, " ".join(found) + mark, " or ".join(map(" ".join, right)))
    console.print(table)
    replace(folder / "result.json", json.dumps(result, indent=2) + "\n")


def say(folder: Path, settings: Settings, spellings: list[str]) -> list[tuple[str, str]]:
    """Pronounce words with what a run has learned.

    Args:
      folder: of the run; it has to hold a checkpoint.
      settings: of the run.
      spellings: the words.

    Returns:
      Each word, and its sounds.
    """
    state = checkpoints.restore_checkpoint(
        folder / "checkpoints", steps.create(settings), must_exist=True
    )
    found = steps.pronounce(state.params, spellings, settings, settings.beams)
    return [(word, " ".join(sounds)) for word, sounds in zip(spellings, found, strict=True)]
