"""A run: train, show how it goes, save, and go on where the last run stopped."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from examples.molecules import baselines, with_linen, with_nnx
from examples.molecules.batching import Batches, packed, together
from examples.molecules.molecules import Molecule, boiling, data, read, wanted
from examples.molecules.settings import Settings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from ramie.training import checkpoints

Training = with_linen.Training | with_nnx.Training
STYLES = {"linen": with_linen.Training, "nnx": with_nnx.Training}
SHOWN = 8  # held out molecules in the table at the end
CELSIUS = 273.15  # its zero, in kelvin


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
    """Return the bar: steps, error, steps a second, time left. It is for terminals only."""
    return Progress(
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("error {task.fields[loss]:.1f} K"),
        TextColumn("{task.fields[speed]:,.0f} steps/s"),
        TimeRemainingColumn(),
        TextColumn("[cyan]left"),
        console=console,
        disable=not (shown and console.is_terminal),
    )


def restored(folder: Path, settings: Settings, must_exist: bool = True) -> Training:
    """Read the newest checkpoint of a run.

    Args:
      folder: of the run.
      settings: of the run.
      must_exist: whether it is an error if there is none; if not, a new training is returned.
    """
    training = STYLES[settings.style](settings)
    # With no checkpoint in the folder the state comes back as it is.
    training.state = checkpoints.restore_checkpoint(
        folder / "checkpoints", training.state, strict=True, must_exist=must_exist
    )
    return training


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
    training = restored(folder, settings, must_exist=False)
    done = training.done
    console.print(
        f"{len(trained_on)} molecules to train on, {len(held_out)} held out"
        + (f"; goes on after step {done}" if done else "")
    )
    log = Log(folder, done)
    with Leaving() as leaving, bar(console, shown) as progress:
        task = progress.add_task("", total=settings.steps, completed=done, loss=0.0, speed=0.0)
        for number, loss, speed in trained(training, Batches(trained_on, settings), settings):
            log.add(number, loss=loss)
            progress.update(task, completed=number, loss=loss, speed=speed)
            last = number == settings.steps
            if number % settings.every == 0 or last:
                mae = errors(boil(training, held_out, settings), held_out)["mean"]
                log.add(number, mae=mae)
                console.print(f"step {number}: held out molecules are wrong by {mae:.1f} K")
            if number % settings.every == 0 or last or leaving.signal:
                checkpoints.save_checkpoint(folder / "checkpoints", training.state, number, keep=2)
            if leaving.signal and not last:
                console.print(f"saved after step {number}; stopping as asked")
                return leaving.signal
    report(folder, boil(training, held_out, settings), trained_on, held_out, console)
    return 0


def trained(
    training: Training, batches: Batches, settings: Settings
) -> Iterator[tuple[int, float, float]]:
    """Train step by step; give the number of steps done, the error and the steps a second."""
    done, began = training.done, 0.0
    for number in range(done, settings.steps):
        loss = training.step(batches[number])
        if number == done:
            began = time.monotonic()  # it has compiled
        passed = max(time.monotonic() - began, 1e-9)
        yield number + 1, loss, (number - done) / passed


def boil(training: Training, molecules: Sequence[Molecule], settings: Settings) -> np.ndarray:
    """Return what a training says of any number of molecules, ``[molecules]`` in kelvin."""
    batches = packed(molecules, settings)
    return np.concatenate(
        [training.boil(together(batch, settings))[: len(batch)] for batch in batches]
    )


def errors(found: np.ndarray, molecules: Sequence[Molecule]) -> dict[str, float]:
    """Return the mean and the median of absolute errors, and of how many molecules they are.

    Args:
      found: boiling points ``[molecules]`` in kelvin; NaN where there is no answer, but not all.
      molecules: what they are of.
    """
    wrong = np.abs(found - boiling(molecules))
    wrong = wrong[~np.isnan(wrong)]
    return {
        "mean": float(wrong.mean()),
        "median": float(np.median(wrong)),
        "molecules": int(wrong.size),
    }


def report(
    folder: Path,
    found: np.ndarray,
    trained_on: Sequence[Molecule],
    held_out: Sequence[Molecule],
    console: Console,
) -> None:
    """Compare with other ways, print some molecules, and write ``result.json``."""
    ways = baselines.estimates(trained_on, held_out) | {"the network": found}
    answered = {name: values for name, values in ways.items() if not np.isnan(values).all()}
    result = {name: errors(values, held_out) for name, values in answered.items()}
    title = "molecules that were never trained on: error in kelvin"
    table = Table("boiling points by", "mean", "median", "molecules", title=title)
    for name, row in result.items():
        table.add_row(name, f"{row['mean']:.2f}", f"{row['median']:.2f}", str(row["molecules"]))
    console.print(table)
    table = Table(
        Column("molecule", overflow="fold"),
        "the network",
        "measured",
        title="some of them, in kelvin",
    )
    for molecule, kelvin in list(zip(held_out, found, strict=True))[:SHOWN]:
        table.add_row(molecule.smiles, f"{kelvin:.0f}", f"{molecule.boils:.0f}")
    console.print(table)
    replace(folder / "result.json", json.dumps(result, indent=2) + "\n")


def predict(folder: Path, settings: Settings, written: Sequence[str]) -> list[tuple[str, str]]:
    """Tell when molecules boil, with what a run has learned.

    Args:
      folder: of the run; it has to hold a checkpoint.
      settings: of the run.
      written: the molecules as SMILES.

    Returns:
      Each molecule as it was written, and the answer.
    """
    asked = [wanted(smiles, settings.largest) for smiles in written]
    known = {molecule.smiles: molecule.boils for molecule in read(settings.largest)}
    answers = []
    for kelvin, molecule in zip(
        boil(restored(folder, settings), asked, settings), asked, strict=True
    ):
        answer = f"{kelvin:.0f} K, {kelvin - CELSIUS:.0f} °C"
        if molecule.smiles in known:
            answer += f"; measured {known[molecule.smiles]:.0f} K"
        answers.append(answer)
    return list(zip(written, answers, strict=True))
