"""A run: play, learn, show how it goes, save, and go on where the last run stopped."""

import contextlib
import json
import math
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from examples.ppo import environments, model, playing, steps
from examples.ppo.environments import Environments, Spaces
from examples.ppo.settings import Settings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ramie.training import checkpoints
from ramie.training.stepping import Stepper


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
    """Notices Ctrl-C and SIGTERM, so that a loop can end after an update; twice ends at once."""

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
    """Return the bar: updates, the mean return, steps a second, time left. For terminals only."""
    return Progress(
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("return {task.fields[mean]:.1f}"),
        TextColumn("{task.fields[speed]:,.0f} steps/s"),
        TimeRemainingColumn(),
        TextColumn("[cyan]left"),
        console=console,
        disable=not (shown and console.is_terminal),
    )


def restored(
    folder: Path, settings: Settings, spaces: Spaces, must_exist: bool = True
) -> tuple[Any, dict[str, Any] | None, int]:
    """Read the newest checkpoint of a run.

    Args:
      folder: of the run.
      settings: of the run.
      spaces: of its environment.
      must_exist: whether it is an error if there is none; if not, a first state is returned.

    Returns:
      Parameters and optimizer, where the environments are, and how many updates are done.
    """
    target = {"training": steps.create(settings, spaces), "environments": None}
    # With no checkpoint in the folder the target comes back as it is.
    found = checkpoints.restore_checkpoint(
        folder / "checkpoints", target, strict=True, must_exist=must_exist
    )
    done = int(found["training"].step) // steps.steps_of(settings)
    return found["training"], found["environments"], done


def train(folder: Path, settings: Settings, spaces: Spaces, shown: bool = True) -> int:
    """Train to the end, or until a signal asks to leave, and say how well it plays.

    Args:
      folder: of the run; what is in there is continued.
      settings: the numbers of the run.
      spaces: of its environment.
      shown: whether to print how it goes.

    Returns:
      The signal that ended the run early, or 0.
    """
    console = Console(quiet=not shown, highlight=False)
    policy = model.create(settings, spaces)
    state, where, done = restored(folder, settings, spaces, must_exist=False)
    console.print(
        f"{settings.env}: {spaces.actions} actions, {settings.envs} environments, "
        f"{settings.updates} updates of {settings.steps_an_update} steps"
    )
    if done:
        console.print(f"goes on after update {done}")
    seeds = environments.training_seed(settings.seed)
    log, envs = Log(folder, done), Environments(settings, settings.envs, seeds)
    if where is not None:
        envs.restore(where)
    training = Stepper(partial(steps.step, settings), state, has_aux=True)
    del state  # so that its memory can be used again
    with Leaving() as leaving, bar(console, shown) as progress:
        task = progress.add_task("", total=settings.updates, completed=done, mean=0.0, speed=0.0)
        for number, line, speed in trained(training, policy, envs, settings, done):
            log.add(number, **line)
            seen = {"mean": line["return"]} if "return" in line else {}
            progress.update(task, completed=number, speed=speed, **seen)
            last = number == settings.updates
            if number % settings.every == 0 or last:
                look(training, policy, settings, number, log, console)
            if number % settings.every == 0 or last or leaving.signal:
                content = {"training": training.state, "environments": envs.state()}
                checkpoints.save_checkpoint(folder / "checkpoints", content, number, keep=2)
                del content
            if leaving.signal and not last:
                console.print(f"saved after update {number}; stopping as asked")
                return leaving.signal
    envs.close()
    report(folder, training.state.params, policy, settings, spaces, console)
    return 0


def trained(
    training: Stepper, policy: model.Policy, envs: Environments, settings: Settings, done: int
) -> Iterator[tuple[int, dict[str, float], float]]:
    """Play and learn; give the number of updates done, what was measured, and steps a second."""
    began = 0.0
    for number in range(done, settings.updates):
        params = training.state.params
        rollout, returns = playing.rollout(params, policy, envs, settings, number)
        del params
        line = steps.update(training, settings, rollout, number)
        if not math.isfinite(line["loss"]):
            raise ValueError(f"the loss in update {number + 1} is no number; take a lower --rate.")
        if returns:
            line["return"] = float(np.mean(returns))
        if number == done:
            began = time.monotonic()  # it has compiled
        passed = max(time.monotonic() - began, 1e-9)
        yield number + 1, line, (number - done) * settings.steps_an_update / passed


def look(
    training: Stepper,
    policy: model.Policy,
    settings: Settings,
    number: int,
    log: Log,
    console: Console,
) -> None:
    """Play some episodes by the greedy policy, which tell how it goes."""
    seeds = environments.held_out_seeds(settings.seed, settings.looked)
    found = playing.played(training.state.params, policy, settings, seeds)
    greedy = float(np.mean(found))
    log.add(number, greedy=greedy)
    console.print(f"update {number}: mean return of the greedy policy {greedy:.1f}")


def report(
    folder: Path,
    params: Any,
    policy: model.Policy,
    settings: Settings,
    spaces: Spaces,
    console: Console,
) -> None:
    """Play all episodes of the end, print the result, and write ``result.json``."""
    seeds = environments.held_out_seeds(settings.seed, settings.episodes)
    found = np.array(playing.played(params, policy, settings, seeds))
    result = {
        "mean": float(found.mean()),
        "deviation": float(found.std()),
        "least": float(found.min()),
        "most": float(found.max()),
    }
    title = f"returns of {len(found)} episodes that were never trained on"
    table = Table(*result, title=title)
    table.add_row(*(f"{value:.1f}" for value in result.values()))
    console.print(table)
    if spaces.threshold is not None:
        solved = "solved" if result["mean"] >= spaces.threshold else "not solved"
        console.print(f"{settings.env} is {solved}: it asks for a mean of {spaces.threshold:g}")
    replace(folder / "result.json", json.dumps(result, indent=2) + "\n")


def play(folder: Path, settings: Settings, seeds: list[int]) -> list[tuple[int, str]]:
    """Play episodes with what a run has learned.

    Args:
      folder: of the run; it has to hold a checkpoint.
      settings: of the run.
      seeds: of the episodes.

    Returns:
      Each seed, and the return.
    """
    spaces = environments.spaces(settings)
    training, _, _ = restored(folder, settings, spaces)
    found = playing.played(training.params, model.create(settings, spaces), settings, seeds)
    return [(seed, f"{value:g}") for seed, value in zip(seeds, found, strict=True)]
