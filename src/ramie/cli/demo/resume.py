"""What a checkpoint of the demo holds, and when a run may go on from it.

A checkpoint is written after each epoch and holds all that the epochs after it depend on: the train
state, the history of results, and the settings that must not change in between. It is one file that
is either wholly there or not there, so there is nothing to keep consistent with it.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ramie import errors
from ramie.cli.demo.metrics import Metrics
from ramie.cli.demo.program import Program
from ramie.cli.demo.settings import Settings, SettingsError
from ramie.training import checkpoints

__all__ = ["History", "Progress", "WorkdirError", "restore", "save"]

_KEPT_CHECKPOINTS = 3
_FIXED_SETTINGS = ("batch_size", "learning_rate", "seed", "api")


class WorkdirError(errors.RamieError, RuntimeError):
    """What lies in the work directory cannot be continued."""


@dataclass(frozen=True)
class History:
    """Loss and accuracy after each epoch so far."""

    train_loss: tuple[float, ...] = ()
    train_accuracy: tuple[float, ...] = ()
    test_loss: tuple[float, ...] = ()
    test_accuracy: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.test_loss)

    def add(self, train: Metrics, test: Metrics) -> "History":
        """Return the history with one more epoch."""
        return History(
            train_loss=(*self.train_loss, train.loss),
            train_accuracy=(*self.train_accuracy, train.accuracy),
            test_loss=(*self.test_loss, test.loss),
            test_accuracy=(*self.test_accuracy, test.accuracy),
        )


@dataclass(frozen=True)
class Progress:
    """How far a training has come.

    Args:
        state: The state of the program after the last epoch.
        history: The results of all epochs.
    """

    state: Any
    history: History = field(default_factory=History)

    @property
    def epochs(self) -> int:
        """The number of epochs made."""
        return len(self.history)


def save(settings: Settings, program: Program, progress: Progress) -> None:
    """Write the checkpoint of the epoch just made."""
    content = {
        "settings": _fixed(settings),
        "history": {name: np.array(values) for name, values in vars(progress.history).items()},
        "state": program.to_state_dict(progress.state),
    }
    checkpoints.save_checkpoint(
        settings.checkpoint_dir, content, step=progress.epochs, keep=_KEPT_CHECKPOINTS
    )


def restore(settings: Settings, program: Program, fresh: Any) -> Progress:
    """Read the newest checkpoint of a run.

    Args:
        settings: The settings of the run that wants to go on.
        program: What makes the state of a checkpoint.
        fresh: A state before the first step, which gives the restored one its structure.

    Returns:
        The progress to go on from: that of the checkpoint, or none when there is no checkpoint.

    Raises:
        SettingsError: The checkpoints come from a run with other settings.
        WorkdirError: The newest checkpoint is damaged or does not come from the demo.
    """
    newest = checkpoints.latest_checkpoint(settings.checkpoint_dir)
    if newest is None:
        return Progress(fresh)
    try:
        content = checkpoints.restore_checkpoint(newest, target=None)
    except errors.RamieError as error:
        raise WorkdirError(_damaged(settings, error)) from error
    if not _is_of_the_demo(content):
        raise WorkdirError(
            f"{newest} was not written by this demo. Choose an empty directory with --workdir."
        )
    _check_same_run(settings, content["settings"])
    history = {name: tuple(values.tolist()) for name, values in content["history"].items()}
    try:
        state = program.from_state_dict(fresh, content["state"])
    except ValueError as error:
        raise WorkdirError(
            f"{newest} holds the state of another network or optimizer. If you changed the "
            f"program, start a new run with another --workdir.\nThe difference: {error}"
        ) from error
    return Progress(state, History(**history))


def _is_of_the_demo(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and content.keys() == {"settings", "history", "state"}
        and content["settings"].keys() == set(_FIXED_SETTINGS)
        and content["history"].keys() == set(vars(History()))
    )


def _fixed(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in _FIXED_SETTINGS}


def _check_same_run(settings: Settings, earlier: dict[str, Any]) -> None:
    for name, value in _fixed(settings).items():
        if earlier[name] != value:
            raise SettingsError(
                name,
                f"is {value}, but the run in {settings.workdir} was started with {earlier[name]}. "
                f"Give {earlier[name]} to continue that run, or another --workdir to start a new "
                "one",
            )


def _damaged(settings: Settings, error: Exception) -> str:
    *older, newest = settings.saved_checkpoints()
    after = f"go on from {older[-1].name}" if older else "start again from the first epoch"
    return (
        f"The newest checkpoint, {newest}, cannot be read, so the run cannot go on from it. "
        f"Delete that file to {after}, or choose another --workdir.\nThe reason: {error}"
    )
