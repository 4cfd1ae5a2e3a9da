"""A run: train, show how it goes, save, and go on where the last run stopped."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.translation import packing, phrases, steps
from examples.translation.bleu import bleu
from examples.translation.settings import Settings
from examples.translation.tokens import Tokens
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ramie import nnx
from ramie.training import checkpoints

LOOK = 100  # held out phrases of a look at how it goes
SHOWN = 12  # held out phrases in the table at the end


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
    """Return the bar: steps, loss, rows a second, time left. It is for terminals only."""
    return Progress(
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("{task.fields[speed]:,.0f} rows/s"),
        TimeRemainingColumn(),
        TextColumn("[cyan]left"),
        console=console,
        disable=not (shown and console.is_terminal),
    )


class Data:
    """The phrases of a run, and the tokens of both languages.

    Args:
      settings: of the run.

    Attributes:
      trained_on: pairs of texts, English and German.
      held_out: pairs that are in no step.
      unseen: names that are in no phrase at all.
      sources: the tokens of English.
      targets: the tokens of German.
      rows: the tokens of both sides of `trained_on`.
    """

    def __init__(self, settings: Settings) -> None:
        maker = phrases.Maker(settings.seed)
        made = maker.pairs(settings.phrases)
        border = len(made) - settings.held_out
        self.trained_on, held_out = made[:border], made[border:]
        self.sources, self.targets = (
            Tokens((pair[place] for pair in self.trained_on), settings.rarest) for place in (0, 1)
        )
        known = {english for english, _ in self.trained_on}
        self.held_out, self.unseen = (
            [pair for pair in pairs if pair[0] not in known and self.fits(pair, settings.longest)]
            for pairs in (held_out, maker.unseen)
        )
        self.trained_on = [pair for pair in self.trained_on if self.fits(pair, settings.longest)]
        self.rows = [self.row(pair) for pair in self.trained_on]

    def row(self, pair: phrases.Pair) -> tuple[list[int], list[int]]:
        """Return the tokens of both sides of a pair."""
        return self.sources.row(pair[0]), self.targets.row(pair[1])

    def fits(self, pair: phrases.Pair, longest: int) -> bool:
        """Tell whether both sides of a pair are short enough."""
        return max(map(len, self.row(pair))) <= longest


def restored(
    folder: Path, settings: Settings, data: Data, must_exist: bool = True
) -> tuple[steps.Training, int]:
    """Read the newest checkpoint of a run.

    Args:
      folder: of the run.
      settings: of the run.
      data: of the run; it says how many tokens there are.
      must_exist: whether it is an error if there is none; if not, a new training is returned.

    Returns:
      The training, and how many steps it has done.
    """
    training = steps.Training(len(data.sources), len(data.targets), settings)
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
    data = Data(settings)
    batches = packing.Batches(data.rows, settings.length, settings.batch, settings.seed)
    training, done = restored(folder, settings, data, must_exist=False)
    console.print(
        f"{len(data.rows)} phrases to train on, {len(data.held_out)} held out"
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
                _, score = measured(training, data.held_out[:LOOK], data, settings)
                log.add(number, bleu=score["bleu"])
                console.print(f"step {number}: BLEU of held out phrases {score['bleu']:.1f}")
            if number % settings.every == 0 or last or leaving.signal:
                save(folder, training, number)
            if leaving.signal and not last:
                console.print(f"saved after step {number}; stopping as asked")
                return leaving.signal
    report(folder, training, data, settings, console)
    return 0


def trained(
    training: steps.Training, batches: packing.Batches, settings: Settings, done: int
) -> Iterator[tuple[int, float, float]]:
    """Train step by step; give the number of steps done, the loss and the rows a second."""
    began = 0.0
    for number in range(done, settings.steps):
        loss = float(steps.compiled_step(training, batches[number]))
        if number == done:
            began = time.monotonic()  # it has compiled
        passed = max(time.monotonic() - began, 1e-9)
        yield number + 1, loss, (number - done) * settings.batch / passed


def measured(
    training: steps.Training, pairs: list[phrases.Pair], data: Data, settings: Settings
) -> tuple[list[str], dict[str, float]]:
    """Translate phrases, and compare with what is right.

    Returns:
      The translations; and `bleu`, and how many in a hundred are right throughout (`exact`).
    """
    found = translated(training, [english for english, _ in pairs], data, settings)
    right = [german for _, german in pairs]
    exact = 100 * sum(a == b for a, b in zip(found, right, strict=True)) / len(pairs)
    return found, {"bleu": bleu(found, right), "exact": exact}


def translated(
    training: steps.Training, texts: list[str], data: Data, settings: Settings
) -> list[str]:
    """Translate texts."""
    return steps.translate(training.model, texts, data.sources, data.targets, settings.longest)


def report(
    folder: Path, training: steps.Training, data: Data, settings: Settings, console: Console
) -> None:
    """Measure on all phrases that are held out, print some, and write ``result.json``."""
    result = {}
    for name, pairs in [("held out phrases", data.held_out), ("names never seen", data.unseen)]:
        found, result[name] = measured(training, pairs, data, settings)
        console.print(
            "{}: BLEU {bleu:.1f}, {exact:.1f} % are right throughout".format(name, **result[name])
        )
        table = Table("English", "translated", "right", title=name)
        for (english, german), said in list(zip(pairs, found, strict=True))[:SHOWN]:
            table.add_row(english, said + ("" if said == german else " ✗"), german)
        console.print(table)
    replace(folder / "result.json", json.dumps(result, indent=2) + "\n")


def say(folder: Path, settings: Settings, texts: list[str]) -> list[tuple[str, str]]:
    """Translate texts with what a run has learned.

    Args:
      folder: of the run; it has to hold a checkpoint.
      settings: of the run.
      texts: names, dates and quantities in English.

    Returns:
      Each text, and its translation.
    """
    data = Data(settings)
    training, _ = restored(folder, settings, data)
    return list(zip(texts, translated(training, texts, data, settings), strict=True))
