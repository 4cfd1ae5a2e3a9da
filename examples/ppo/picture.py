"""A run as a picture: how it learned, and one episode as it plays at the end."""

from pathlib import Path
from typing import Any

import numpy as np
from examples.ppo import environments, model, playing, running
from examples.ppo.environments import Spaces
from examples.ppo.settings import Settings

FRAMES = 8  # of a game
MOMENTS = 60  # of what is no game


def draw(folder: Path, settings: Settings, spaces: Spaces) -> Path:
    """Draw the returns over the steps that were played, and an episode.

    Args:
      folder: of the run, which has come to its end.
      settings: of the run.
      spaces: of its environment.

    Returns:
      The file, ``result.png``.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    log = running.read_log(folder)
    for name, label, style in (
        ("return", "as it learns, with chance", {"color": "0.6", "linewidth": 0.8}),
        ("greedy", "the likeliest actions", {"color": "tab:orange", "marker": "."}),
    ):
        points = [
            (line["step"] * settings.steps_an_update, line[name]) for line in log if name in line
        ]
        left.plot(*np.array(points).reshape(-1, 2).T, label=label, **style)
    if spaces.threshold is not None:
        left.axhline(spaces.threshold, color="tab:green", linestyle=":", label="solved")
    left.set(xlabel="steps in the environment", ylabel="mean return", title="how it learned")
    left.legend(frameon=False)
    training, _, _ = running.restored(folder, settings, spaces)
    (seed,) = environments.held_out_seeds(settings.seed, 1)
    policy = model.create(settings, spaces)
    seen, actions = playing.episode(training.params, policy, settings, seed)
    (draw_frames if spaces.images else draw_numbers)(right, seen, actions)
    path = folder / "result.png"
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def draw_frames(axes: Any, seen: np.ndarray, actions: np.ndarray) -> None:
    """Draw the newest frames of some moments, two rows of them."""
    some = seen[np.linspace(0, len(seen) - 1, FRAMES).astype(int), -1]
    rows = np.concatenate(np.split(np.pad(some, [(0, 0), (1, 1), (1, 1)]), 2), axis=1)
    axes.imshow(np.concatenate(list(rows), axis=1), cmap="gray", vmin=0, vmax=255)
    axes.set_title(f"an episode of {len(actions)} steps")
    axes.set_axis_off()


def draw_numbers(axes: Any, seen: np.ndarray, actions: np.ndarray) -> None:
    """Draw the first moments: a row for each number that is seen, and one for the actions."""
    rows = [*seen[:MOMENTS].T, actions[:MOMENTS]]
    for row, values in enumerate(rows):
        height = 0.8 * (values - values.min()) / max(np.ptp(values), 1e-6)
        axes.step(np.arange(len(values)), height - row, where="mid", linewidth=0.9)
    names = [f"number {i}\n{x.min():.2g} to {x.max():.2g}" for i, x in enumerate(rows[:-1])]
    axes.set_yticks(0.4 - np.arange(len(rows)), [*names, "action"])
    axes.set(xlabel="step", title=f"what it sees and does, in an episode of {len(actions)} steps")
