"""What the terminal shows: a progress bar while training, a table of results at the end."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ramie.cli.command import command_line
from ramie.cli.demo.data import Digits
from ramie.cli.demo.resume import History, Progress
from ramie.cli.demo.settings import Settings

__all__ = ["ProgressBar", "show_next", "show_results", "show_start"]


def show_start(settings: Settings, digits: Digits, progress: Progress) -> None:
    """Say what is about to happen."""
    from rich.markup import escape

    console = _console()
    if not progress.epochs:
        what = f"Training for {settings.epochs} epochs"
    elif progress.epochs < settings.epochs:
        what = f"Resuming after epoch {progress.epochs} of {settings.epochs}"
    else:
        what = f"All {settings.epochs} epochs are trained already: showing their results"
    where = escape(str(settings.workdir))
    console.print(f"[bold]{what}[/bold], in {where}", highlight=False, soft_wrap=True)
    console.print(
        f"[dim]{len(digits.train)} training and {len(digits.test)} test images of handwritten "
        f"digits, batches of {settings.batch_size}, learning rate {settings.learning_rate}, "
        f"seed {settings.seed}[/dim]",
        highlight=False,
        soft_wrap=True,
    )


def show_results(history: History, digits: Digits, pictures: Sequence[Path]) -> None:
    """Print the table of all epochs, the final accuracy, and where the pictures are."""
    from rich.table import Table

    best = max(history.test_accuracy)
    table = Table(
        title="Results by epoch",
        header_style="bold",
        caption=f"* highest test accuracy, {_percent(best)}",
        caption_style="green",
    )
    table.add_column("epoch", justify="right")
    for name in ("train loss", "train accuracy", "test loss", "test accuracy"):
        table.add_column(name, justify="right")
    rows = zip(
        history.train_loss,
        history.train_accuracy,
        history.test_loss,
        history.test_accuracy,
        strict=True,
    )
    for epoch, (train_loss, train_accuracy, test_loss, test_accuracy) in enumerate(rows, start=1):
        table.add_row(
            str(epoch),
            f"{train_loss:.4f}",
            _percent(train_accuracy),
            f"{test_loss:.4f}",
            _percent(test_accuracy) + (" *" if test_accuracy == best else "  "),
            style="green" if test_accuracy == best else None,
        )
    console = _console()
    console.print(table)
    right = round(history.test_accuracy[-1] * len(digits.test))
    console.print(
        f"[bold]Test accuracy {_percent(history.test_accuracy[-1])}[/bold]: "
        f"{right} of {len(digits.test)} images that were never trained on",
        highlight=False,
    )
    for picture in pictures:
        console.print(f"Picture: {picture}", highlight=False, markup=False, soft_wrap=True)


def show_next(settings: Settings) -> None:
    """Say what can be typed now."""
    console = _console()
    for what, words in (
        ("Its checkpoints", ("ls", settings.checkpoint_dir)),
        ("The last of them", ("show", settings.checkpoint_dir, "--stats")),
    ):
        line = f"{what}: {command_line('ckpt', *words)}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


class ProgressBar:
    """A bar over all steps of all epochs. Where output is not a terminal, a line per epoch.

    Args:
        epochs: Epochs in all.
        steps: Steps in each.
        done: Epochs made before.
    """

    def __init__(self, epochs: int, steps: int, done: int) -> None:
        from rich import progress

        self._console = _console()
        self._epochs = epochs
        self._bar = progress.Progress(
            progress.TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            progress.BarColumn(bar_width=None),
            progress.TaskProgressColumn(),
            progress.TextColumn("test accuracy {task.fields[accuracy]}"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("[cyan]left"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal or done >= epochs,
        )
        self._task = self._bar.add_task(
            "training",
            total=epochs * steps,
            completed=done * steps,
            epoch=min(done + 1, epochs),
            epochs=epochs,
            accuracy="  ...  ",
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def finish_step(self) -> None:
        """Count one optimizer step."""
        self._bar.advance(self._task)

    def finish_epoch(self, history: History) -> None:
        """Show the results of the epoch just made and saved."""
        accuracy = _percent(history.test_accuracy[-1])
        following = min(len(history) + 1, self._epochs)
        self._bar.update(self._task, epoch=following, accuracy=accuracy)
        if not self._console.is_terminal:
            self._console.print(
                f"epoch {len(history)}/{self._epochs}: train loss {history.train_loss[-1]:.4f}, "
                f"test loss {history.test_loss[-1]:.4f}, test accuracy {accuracy}",
                highlight=False,
            )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _console() -> Any:
    from rich.console import Console

    return Console()
