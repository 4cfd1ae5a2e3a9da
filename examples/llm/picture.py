"""The losses of a run as a picture."""

import json
from pathlib import Path

import numpy as np


def draw(folder: Path) -> Path:
    """Draw the loss of each step, and a mean over the last twenty.

    Args:
      folder: of the run.

    Returns:
      The file, ``loss.png``.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    lines = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    step = np.array([line["step"] for line in lines])
    loss = np.array([line["loss"] for line in lines])
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(step, loss, color="0.75", linewidth=0.8, label="each step")
    width = min(20, len(loss))
    smooth = np.convolve(loss, np.ones(width) / width, "valid")
    axes.plot(step[width - 1 :], smooth, color="tab:blue", label=f"mean of the last {width}")
    result = folder / "result.json"
    if result.exists():
        held_out = json.loads(result.read_text())["held_out"]
        said = f"text never trained on: {held_out:.2f}"
        axes.axhline(held_out, color="tab:orange", linestyle="--", label=said)
    axes.set(xlabel="step", ylabel="loss, nats a byte")
    axes.grid(alpha=0.3)
    axes.legend()
    path = folder / "loss.png"
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path
