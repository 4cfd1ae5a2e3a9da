"""What came out, as pictures."""

from pathlib import Path
from typing import Any

import numpy as np
from examples.images.settings import UsageError

ROWS, COLUMNS = 3, 10


def check() -> None:
    """Find out before the training, not after it, whether pictures can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "The pictures are drawn by Matplotlib, which is not installed. Install it with: "
            "pip install matplotlib"
        ) from error


def curves(history: list[dict[str, float]], path: Path) -> Path:
    """Draw loss and errors by epoch.

    Args:
      history: the results of each epoch.
      path: the file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, errors = figure.subplots(1, 2)
    epochs = np.arange(1, len(history) + 1)
    losses.plot(epochs, [line["loss"] for line in history])
    losses.set(xlabel="epoch", title="Loss in training, labels smoothed")
    for name, label in (
        ("now", "parameters of the last step"),
        ("averaged", "averaged parameters"),
    ):
        wrong = [100 * (1 - line[name]) for line in history]
        errors.plot(epochs, np.maximum(wrong, 0.05), label=label)
    errors.set(xlabel="epoch", title="Test images in a wrong class, %")
    errors.set_yscale("log")
    errors.legend(frameon=False)
    for axes in (losses, errors):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    return path


def guesses(source: Any, found: np.ndarray, names: list[str], path: Path) -> Path:
    """Draw test images with what they were taken for; mistakes come first, in red.

    Args:
      source: the test images.
      found: the class that was seen in each.
      names: of the classes.
      path: the file.
    """
    from matplotlib.figure import Figure

    labels = np.array([int(source[i]["label"]) for i in range(len(source))])
    wrong = found != labels
    chosen = np.argsort(~wrong, kind="stable")[: ROWS * COLUMNS]
    figure = Figure(figsize=(COLUMNS * 1.1, ROWS * 1.4 + 0.4), layout="constrained")
    figure.suptitle(f"{wrong.sum()} of {len(labels)} test images are taken for another class")
    cells = list(figure.subplots(ROWS, COLUMNS).flat)
    for axes in cells:
        axes.set_axis_off()
    for axes, index in zip(cells, chosen, strict=False):
        axes.imshow(source[int(index)]["image"].squeeze(), cmap="gray_r")
        seen, real = names[found[index]], names[labels[index]]
        title, colour = (f"{seen}, is {real}", "tab:red") if wrong[index] else (seen, "black")
        axes.set_title(title[:20], color=colour, fontsize=9)
    figure.savefig(path, dpi=120)
    return path
