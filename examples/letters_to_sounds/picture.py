"""A run as a picture: how it learned, and where the decoder looks while it says a word."""

from pathlib import Path

import numpy as np
from examples.letters_to_sounds import running, steps, words
from examples.letters_to_sounds.settings import Settings

from ramie.training import checkpoints

WORD = "thoughtfully"


def draw(folder: Path, settings: Settings) -> Path:
    """Draw the losses, the error rates, and the attention for one word.

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
    losses = [(line["step"], line["loss"]) for line in log if "loss" in line]
    rates = [
        (line["step"], line["phoneme_error_rate"]) for line in log if "phoneme_error_rate" in line
    ]
    left.plot(*zip(*losses, strict=True), color="0.6", linewidth=0.8)
    left.set(xlabel="step", ylabel="loss, nats a sound", yscale="log", title="how it learned")
    other = left.twinx()
    other.plot(*zip(*rates, strict=True), color="tab:orange", marker="o", markersize=3)
    other.set_ylabel("wrong sounds of held out words, %", color="tab:orange")
    other.set_ylim(0)
    sounds, weights = attention(folder, settings)
    right.imshow(weights, cmap="Blues", aspect="auto", vmin=0, vmax=1)
    right.set_xticks(range(len(WORD)), list(WORD))
    right.set_yticks(range(len(sounds) + 1), [*sounds, "end"])
    right.set(title="which letters each sound looks at")
    path = folder / "result.png"
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def attention(folder: Path, settings: Settings) -> tuple[list[str], np.ndarray]:
    """Return the sounds of the word, and how much each (and the end) looked at each letter."""
    state = checkpoints.restore_checkpoint(
        folder / "checkpoints", steps.create(settings), must_exist=True
    )
    (sounds,) = steps.pronounce(state.params, [WORD], settings, settings.beams)
    sounds = sounds[: settings.longest]
    letters = words.spelled([WORD], settings.longest)
    before = words.said([sounds], settings.longest)[:, :-1]
    weights = np.asarray(steps.looked_at(state.params, letters, before, settings))
    return sounds, weights[0, : len(sounds) + 1, : len(WORD)]
