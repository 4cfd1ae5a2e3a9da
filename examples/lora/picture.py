"""A run as a picture: how it learned, what it has forgotten, and what has to be saved."""

import json
from pathlib import Path

from examples.lora import loop

COLOURS = {"base": "0.5", "adapters": "tab:blue", "full": "tab:orange"}
LABELS = {"base": "base", "adapters": "adapters", "full": "all parameters"}


def draw(folder: Path) -> Path:
    """Draw the losses on held out text by step, both texts at the end, and sizes of checkpoints.

    Args:
      folder: of the run, which has come to its end.

    Returns:
      The file, ``result.png``.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    settings = json.loads((folder / "settings.json").read_text())
    result = json.loads((folder / "result.json").read_text())
    figure, (left, middle, right) = pyplot.subplots(
        1, 3, figsize=(11, 3.8), layout="constrained", width_ratios=(3, 2, 2)
    )
    log = loop.read_log(folder)
    left.axhline(result["bits"]["base"]["new"], color=COLOURS["base"], ls="--", label="base")
    for stage in ("adapters", "full"):
        looks = [(x["step"], x["bits"]) for x in log if x["stage"] == stage and "bits" in x]
        colour = COLOURS[stage]
        left.plot(*zip(*looks, strict=True), ".-", color=colour, label=LABELS[stage])
    title = f"how it learned: {settings['text']}"
    left.set(xlabel="step", ylabel="bits a byte, held out text", title=title)
    left.legend()
    for row, (name, colour) in enumerate(COLOURS.items()):
        for place, text in enumerate(("new", "old")):
            bits = result["bits"][name][text]
            bars = middle.bar(place + 0.27 * (row - 1), bits, 0.25, color=colour)
            middle.bar_label(bars, [f"{bits:.2f}"], fontsize=7)
    middle.set_xticks([0, 1], [Path(settings["text"]).name, "Python"])
    middle.set(ylabel="bits a byte", title="learned and forgotten")
    sizes = result["bytes"]
    for place, key in enumerate(sizes):
        bars = right.bar(place, sizes[key] / 1e6, color=COLOURS[key.partition("_")[0]])
        right.bar_label(bars, [f"{sizes[key] / 1e6:.2f}"], fontsize=7)
    right.set_xticks(range(len(sizes)), ["alone", "with\noptimizer"] * 2)
    right.set(ylabel="MB", title="checkpoints")
    path = folder / "result.png"
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path
