"""Two pictures: how loss and accuracy went, and what the network sees in test images."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ramie import errors
from ramie.cli.demo.data import Split
from ramie.cli.demo.resume import History

__all__ = ["check_installed", "draw_all", "draw_curves", "draw_predictions"]

_TRAIN_COLOUR = "#8a8f98"
_TEST_COLOUR = "#1f5fbf"
_WRONG_COLOUR = "#d1242f"
_GRID_ROWS, _GRID_COLUMNS = 6, 10
_MOST_TICKS = 15


def check_installed() -> None:
    """Find out before a long training, not after it, that the pictures cannot be drawn.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise errors.MissingExtraError("matplotlib", "demo", "draw the results") from error


def draw_all(
    directory: Path, history: History, test: Split, predictions: npt.NDArray[np.int32]
) -> list[Path]:
    """Draw both pictures and return where they are."""
    curves, grid = Path(directory) / "curves.png", Path(directory) / "predictions.png"
    draw_curves(history).savefig(curves, dpi=150)
    draw_predictions(test, predictions).savefig(grid, dpi=150)
    return [curves, grid]


def draw_curves(history: History) -> Any:
    """Draw loss and accuracy by epoch, for training and test images.

    Args:
        history: The results of all epochs.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter

    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    for axes, train, test in (
        (loss, history.train_loss, history.test_loss),
        (accuracy, history.train_accuracy, history.test_accuracy),
    ):
        axes.plot(epochs, train, "o-", color=_TRAIN_COLOUR, markersize=3.5, label="train")
        axes.plot(epochs, test, "o-", color=_TEST_COLOUR, markersize=3.5, label="test")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(FixedLocator(_ticks(len(history))))
        axes.grid(color="#e6e8eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    loss.set_title("Cross-entropy loss", loc="left")
    loss.set_yscale("log")
    accuracy.set_title(
        f"Accuracy: {100 * history.test_accuracy[-1]:.1f} % on test images", loc="left"
    )
    accuracy.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
    _zoom(accuracy, history)
    return figure


def _ticks(epochs: int) -> list[int]:
    """Return the epochs that are named below the curves: all, or every so many of them."""
    step = -(-epochs // _MOST_TICKS)
    return list(range(step, epochs + 1, step))


def _zoom(axes: Any, history: History) -> None:
    """Show the accuracies after the first epoch large; the legend tells those that lie below."""
    later = [*history.train_accuracy[1:], *history.test_accuracy[1:]]
    if len(history) < 3 or max(later) == min(later):
        return
    room = 0.06 * (max(later) - min(later))
    bottom = min(later) - room
    axes.set_ylim(bottom, max(later) + room)
    for line in axes.lines:
        first = line.get_ydata()[0]
        if first < bottom:
            line.set_label(f"{line.get_label()} (epoch 1: {100 * first:.1f} %)")
    axes.legend(frameon=False)


def draw_predictions(test: Split, predictions: npt.NDArray[np.int32]) -> Any:
    """Draw a grid of test images with the digit seen in each; mistakes first, in red.

    Args:
        test: The test images.
        predictions: The digit seen in each, `[n]`.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    wrong = predictions != test.labels
    # A stable sort: mistakes come first, and otherwise the order is that of the data.
    shown = np.argsort(~wrong, kind="stable")[: _GRID_ROWS * _GRID_COLUMNS]
    figure = Figure(figsize=(10, 7.2), layout="constrained")
    figure.suptitle(
        f"The digit the network sees in {len(shown)} of {len(test)} test images "
        f"(wrong in {np.count_nonzero(wrong)} of all; these come first, in red)"
    )
    cells = figure.subplots(_GRID_ROWS, _GRID_COLUMNS).flat
    for axes in cells[len(shown) :]:
        axes.set_visible(False)
    for axes, index in zip(cells, shown, strict=False):
        axes.imshow(test.images[index, :, :, 0], cmap="gray_r", interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        if wrong[index]:
            title = f"{predictions[index]} (is {test.labels[index]})"
            axes.set_title(title, color=_WRONG_COLOUR, fontweight="bold", fontsize=10)
            axes.spines[:].set(color=_WRONG_COLOUR, linewidth=2.5)
        else:
            axes.set_title(str(predictions[index]), fontsize=10)
            axes.spines[:].set(color="#c9cdd2", linewidth=0.8)
    return figure
