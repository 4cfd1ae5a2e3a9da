"""A run as a picture: how it learned."""

from pathlib import Path

from examples.translation import running


def draw(folder: Path) -> Path:
    """Draw the losses and the BLEU of held out phrases.

    Args:
      folder: of the run, which has come to its end.

    Returns:
      The file, ``result.png``.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, left = pyplot.subplots(figsize=(7, 4), layout="constrained")
    log = running.read_log(folder)
    losses = [(line["step"], line["loss"]) for line in log if "loss" in line]
    scores = [(line["step"], line["bleu"]) for line in log if "bleu" in line]
    left.plot(*zip(*losses, strict=True), color="0.6", linewidth=0.8)
    left.set(xlabel="step", ylabel="loss, nats a token", yscale="log", title="how it learned")
    right = left.twinx()
    right.plot(*zip(*scores, strict=True), color="tab:orange", marker="o", markersize=3)
    right.set_ylabel("BLEU of held out phrases", color="tab:orange")
    right.set_ylim(0, 103)
    path = folder / "result.png"
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path
