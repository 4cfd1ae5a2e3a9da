"""Checkpoints: one file after each epoch, that is there wholly or not at all."""

import dataclasses
from pathlib import Path
from typing import Any

from examples.images.settings import Settings, UsageError
from examples.images.steps import TrainState

from ramie.training import checkpoints

KEPT = 2


def save(
    folder: Path, settings: Settings, state: TrainState, history: list[dict[str, float]]
) -> None:
    """Write the checkpoint of the epoch that is done.

    Args:
      folder: of the run.
      settings: with which it goes on.
      state: parameters, optimizer, statistics, averages.
      history: the results of each epoch so far.
    """
    content = {
        "settings": dataclasses.asdict(settings),
        "history": {str(number): line for number, line in enumerate(history)},
        "training": state,
    }
    checkpoints.save_checkpoint(folder / "checkpoints", content, step=len(history), keep=KEPT)


def restore(
    folder: Path, settings: Settings, state: TrainState
) -> tuple[TrainState, list[dict[str, float]]]:
    """Go on from the newest checkpoint, if there is one.

    Args:
      folder: of the run.
      settings: have to be those of the checkpoint.
      state: before the first step.

    Returns:
      The state to go on from, and the results of the epochs that are done.

    Raises:
      UsageError: the checkpoint is of other settings, or of something else.
    """
    newest = checkpoints.latest_checkpoint(folder / "checkpoints")
    if newest is None:
        return state, []
    try:
        content: Any = checkpoints.restore_checkpoint(newest, target=None)
    except ValueError as error:
        raise UsageError(
            f"{newest} cannot be read; delete it to go on without it. {error}"
        ) from error
    if not isinstance(content, dict) or set(content) != {"settings", "history", "training"}:
        raise UsageError(f"{newest} is no checkpoint of this program; give another --workdir.")
    for name, value in dataclasses.asdict(settings).items():
        before = content["settings"].get(name)
        if before != value:
            raise UsageError(
                f"--{name} is {value}, and {folder} holds a run with {before}. Give the same to go "
                "on with it, or another --workdir."
            )
    target = {"settings": None, "history": None, "training": state}
    try:
        found = checkpoints.restore_checkpoint(newest, target, strict=True)
    except ValueError as error:
        raise UsageError(
            f"{newest} is of another model; give another --workdir. {error}"
        ) from error
    history = [content["history"][str(number)] for number in range(len(content["history"]))]
    return found["training"], history
