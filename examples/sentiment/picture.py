"""A run as a picture: how it learned, and how sure it is of the reviews that were held out."""

from pathlib import Path

import numpy as np
from examples.sentiment import running, steps
from examples.sentiment.settings import Settings


def draw(folder: Path, settings: Settings) -> Path:
    """Draw the losses, the share of reviews that are right, and how likely each answer was.

    Args:
      folder: of the run, which has come to its end.
      settings: of the run.

    Returns:
      The file, ``result.png``.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    log = running.read_log(folder)
    losses = np.array([(line["step"], line["loss"]) for line in log if "loss" in line]).T
    scores = [(line["step"], line["accuracy"]) for line in log if "accuracy" in line]
    left.plot(*losses, color="0.75", linewidth=0.8)
    width = min(25, losses.shape[1])
    smooth = np.convolve(losses[1], np.ones(width) / width, "valid")
    left.plot(losses[0, width - 1 :], smooth, color="0.3")
    left.set(xlabel="step", ylabel="loss, nats a review", title="how it learned")
    other = left.twinx()
    other.plot(*zip(*scores, strict=True), color="tab:orange", marker="o", markersize=3)
    other.set_ylabel("held out reviews that are right, %", color="tab:orange")
    data = running.Data(settings)
    likely = steps.judge(running.restored(folder, settings, data), data.held_out_rows)
    for value, name, color in [(1, "content", "tab:green"), (0, "not content", "tab:red")]:
        some = 100 * likely[data.held_out.good == value]
        right.hist(some, bins=20, range=(0, 100), color=color, alpha=0.6, label=name)
    right.set(xlabel="content, says the model, %", ylabel="reviews", title="held out reviews")
    right.legend(title="the writer was")
    path = folder / "result.png"
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path
