"""What came out, as pictures."""

from pathlib import Path

import numpy as np
from examples.vae.settings import UsageError


def check() -> None:
    """Find out before the training, not after it, whether pictures can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "The pictures are drawn by Matplotlib, which is not installed. Install it with: "
            "pip install matplotlib"
        ) from error


def tiles(images: np.ndarray, title: str, path: Path) -> Path:
    """Draw a grid of images.

    Args:
      images: ``[rows, columns, height, width]``, 0 white and 16 black.
      title: above them.
      path: the file.
    """
    from matplotlib.figure import Figure

    rows, columns, height, width = images.shape
    framed = np.pad(images, [(0, 0), (0, 0), (1, 1), (1, 1)])
    sheet = framed.swapaxes(1, 2).reshape(rows * (height + 2), columns * (width + 2))
    figure = Figure(figsize=(columns * 0.6, rows * 0.6 + 0.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=16)
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()
    figure.savefig(path, dpi=120)
    return path


def curves(history: list[dict[str, float]], path: Path) -> Path:
    """Draw the bound by epoch, and what the description costs.

    Args:
      history: the results of each epoch.
      path: the file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    bound, costs = figure.subplots(1, 2)
    epochs = np.arange(1, len(history) + 1)
    bound.plot(epochs, [line["learned"] for line in history], color="0.6", label="learned from")
    bound.plot(epochs, [line["bound"] for line in history], color="tab:blue", label="held out")
    bound.set(xlabel="epoch", ylabel="nats an image", title="Lower bound of the log probability")
    low = min(line["bound"] for line in history[len(history) // 10 :])
    bound.set_ylim(low - 5, max(line["learned"] for line in history) + 5)
    bound.legend(frameon=False)
    costs.plot(epochs, [line["costs"] for line in history], color="tab:orange")
    costs.set(xlabel="epoch", ylabel="nats an image", title="What the description costs")
    for axes in (bound, costs):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    return path
