"""The whole training: resume, train, evaluate, save, repeat; then show what came out."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ramie import errors
from ramie.cli.demo import pictures, report, resume
from ramie.cli.demo.data import Digits, batches, load_digits
from ramie.cli.demo.metrics import Metrics
from ramie.cli.demo.program import Program, load
from ramie.cli.demo.resume import Progress
from ramie.cli.demo.settings import Settings, SettingsError

__all__ = ["DivergedError", "Results", "run"]


class DivergedError(errors.RamieError, ArithmeticError):
    """The loss stopped being a number."""


@dataclass(frozen=True)
class Results:
    """What a finished training gives.

    Args:
        progress: The final state and the history.
        predictions: The digit seen in each test image.
        pictures: Where the pictures are.
    """

    progress: Progress
    predictions: npt.NDArray[np.int32]
    pictures: tuple[Path, ...] = ()


def run(settings: Settings) -> Results:
    """Train until `settings.epochs` epochs are made, from wherever the work directory stands.

    Whether the training is killed and resumed on the way, at whatever moment, makes no difference
    to the result, not in a single bit: an epoch depends on the state before it, on its number and
    on the settings, and all of these are in the checkpoint.

    Args:
        settings: The settings.

    Returns:
        The results, after they were shown in the terminal and drawn to the work directory.

    Raises:
        SettingsError: The settings do not fit the data or the work directory.
        WorkdirError: The newest checkpoint cannot be used.
        DivergedError: The learning rate is too high for the loss to stay finite.
        MissingExtraError: scikit-learn or matplotlib is not installed.
    """
    pictures.check_installed()
    digits = load_digits()
    if settings.batch_size > len(digits.train):
        raise SettingsError(
            "batch_size",
            f"must be at most {len(digits.train)}, the number of training images, "
            f"but it is {settings.batch_size}",
        )
    program = load(settings.api)
    fresh = program.create(settings.seed, digits.train.images[:1], settings.learning_rate)
    progress = resume.restore(settings, program, fresh)
    if progress.epochs > settings.epochs:
        raise SettingsError(
            "epochs",
            f"is {settings.epochs}, but the run in {settings.workdir} has made {progress.epochs} "
            "already. Ask for at least as many, or give another --workdir to start a new run",
        )
    report.show_start(settings, digits, progress)
    progress = _train(settings, program, digits, progress)
    predictions = np.asarray(program.predict(progress.state, digits.test.images), np.int32)
    files = pictures.draw_all(settings.workdir, progress.history, digits.test, predictions)
    report.show_results(progress.history, digits, files)
    report.show_next(settings)
    return Results(progress, predictions, tuple(files))


def _train(settings: Settings, program: Program, digits: Digits, progress: Progress) -> Progress:
    steps = len(digits.train) // settings.batch_size
    with report.ProgressBar(settings.epochs, steps, progress.epochs) as bar:
        while progress.epochs < settings.epochs:
            epoch = progress.epochs + 1
            state = program.start_epoch(progress.state)
            for batch in batches(digits.train, settings.batch_size, settings.seed, epoch):
                state = program.train_step(state, batch.images, batch.labels)
                bar.finish_step()
            test = program.evaluate(state, digits.test.images, digits.test.labels)
            train = program.metrics_of(state)
            _check_finite(train, epoch, settings)
            progress = Progress(state, progress.history.add(train, test))
            resume.save(settings, program, progress)
            bar.finish_epoch(progress.history)
    return progress


def _check_finite(metrics: Metrics, epoch: int, settings: Settings) -> None:
    if not math.isfinite(metrics.loss):
        raise DivergedError(
            f"The training loss is {metrics.loss} in epoch {epoch}: the learning rate "
            f"{settings.learning_rate} is too high for this network. Try one ten times smaller, "
            "with another --workdir."
        )
