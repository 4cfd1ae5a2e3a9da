"""A run as a picture: how it learned, and how sure it is of breaks in some words."""

from pathlib import Path

from examples.hyphenation import running, steps
from examples.hyphenation.settings import Settings

SHOWN = 12


def draw(folder: Path, settings: Settings) -> Path:
    """Draw the losses, the scores, and the probability of a break behind each letter.

    Args:
      folder: of the run, which has come to its end.
      settings: of the run.

    Returns:
      The file, ``result.png``.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    log = running.read_log(folder)
    losses = [(line["step"], line["loss"]) for line in log if "loss" in line]
    scores = [(line["step"], line["f1"]) for line in log if "f1" in line]
    left.plot(*zip(*losses, strict=True), color="0.6", linewidth=0.8)
    left.set(xlabel="step", ylabel="loss, nats a letter", yscale="log", title="how it learned")
    other = left.twinx()
    other.plot(*zip(*scores, strict=True), color="tab:orange", marker="o", markersize=3)
    other.set_ylabel("F1 of breaks in held out words, %", color="tab:orange")
    draw_words(right, folder, settings)
    path = folder / "result.png"
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def draw_words(axes, folder: Path, settings: Settings) -> None:
    """Draw held out words, a bar behind each letter: as dark as the model is sure of a break."""
    training, _ = running.restored(folder, settings)
    _, held_out = running.data(settings)
    some = held_out.first(SHOWN)
    likely = steps.likely(training.model, some.letters)
    for row, word in enumerate(some.spellings):
        for place, letter in enumerate(word):
            axes.text(place, row, letter, ha="center", va="center", family="monospace")
            sure = float(likely[row, place])
            axes.plot([place + 0.5] * 2, [row - 0.4, row + 0.4], color="tab:blue", alpha=sure)
            if some.breaks[row, place]:
                axes.plot(place + 0.5, row + 0.45, marker="^", markersize=4, color="tab:orange")
    axes.set(xlim=(-1, settings.longest), ylim=(len(some) - 0.3, -0.7))
    axes.set_title("bars: breaks the model sees; orange: breaks of pyphen")
    axes.axis("off")
