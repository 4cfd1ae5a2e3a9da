"""A run: add noise, take it away in several ways, and tell how much is left."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from examples.denoising import pictures, with_linen, with_nnx
from examples.denoising.filters import FILTERS
from examples.denoising.settings import LEVELS, Settings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

STYLES = {"linen": with_linen, "nnx": with_nnx}
NETWORKS = {
    "DnCNN, 6 layers": (6, False),
    "DnCNN, 17 layers": (17, False),
    "DnCNN, 17 layers, told the noise": (17, True),
}
SHOWN = "M"  # the level of which pictures are drawn
DRAWN = ("total variation", "DnCNN, 17 layers")


def run(folder: Path, settings: Settings, quiet: bool) -> None:
    """Denoise a picture at each level of noise, print a table, and draw.

    Args:
      folder: where results are written.
      settings: the choices.
      quiet: whether to print nothing.
    """
    pictures.check()
    clean = pictures.read(settings.picture, settings.size)
    console = Console(quiet=quiet)
    rows, columns = clean.shape
    console.print(f"{settings.picture}: {rows}x{columns} pixels, grey", highlight=False)
    noisy = {level: with_noise(clean, level, settings.seed) for level in LEVELS}
    results = {"noisy": {level: psnr(noisy[level], clean) for level in LEVELS}}
    drawn = {"original": clean, f"noise {LEVELS[SHOWN]:.2f}": noisy[SHOWN]}
    with bar(console) as progress:
        task = progress.add_task("", total=len(LEVELS) * len(FILTERS | NETWORKS), name="")
        for name, level, picture in denoised(noisy, settings.style):
            ratio = psnr(picture, clean)
            results.setdefault(name, {})[level] = ratio
            if name in DRAWN and level == SHOWN:
                drawn[f"{name}: {ratio:.1f} dB"] = picture
            progress.update(task, advance=1, name=name)
    console.print(table(results))
    (folder / "result.json").write_text(json.dumps(results, indent=2))
    path = pictures.side_by_side(drawn, folder / "before_after.png")
    console.print(f"drawn in {path}", highlight=False, soft_wrap=True)


def with_noise(clean: np.ndarray, level: str, seed: int) -> np.ndarray:
    """Add Gaussian noise to a picture; values may leave the range from 0 to 1."""
    noise = np.random.default_rng([seed, ord(level)]).normal(size=clean.shape)
    return (clean + LEVELS[level] * noise).astype(np.float32)


def denoised(noisy: dict[str, np.ndarray], style: str) -> Iterator[tuple[str, str, np.ndarray]]:
    """Give what each way makes of each picture: its name, the level, the picture.

    Args:
      noisy: a picture for each level of noise.
      style: in which networks are written.
    """
    for name, denoise in FILTERS.items():
        for level, picture in noisy.items():
            yield name, level, denoise(picture, LEVELS[level])
    for name, (depth, is_told) in NETWORKS.items():
        for level, picture in noisy.items():
            yield name, level, by_network(picture, depth, level, is_told, style)


def by_network(noisy: np.ndarray, depth: int, level: str, is_told: bool, style: str) -> np.ndarray:
    """Denoise a picture with a network.

    Args:
      noisy: grey values ``[height, width]``.
      depth: of the network.
      level: of the noise.
      is_told: whether to take the network that gets the deviation as a second channel, instead of
        the one that was trained with this noise alone.
      style: in which it is written.
    """
    network = STYLES[style].load(depth, "N" if is_told else level)
    channels = [noisy, np.full_like(noisy, LEVELS[level])] if is_told else [noisy]
    return np.asarray(network(np.stack(channels, axis=-1)[None]))[0, :, :, 0]


def psnr(picture: np.ndarray, clean: np.ndarray) -> float:
    """Return the ratio of the highest value to the mean error, in dB; more is better.

    Args:
      picture: grey values; those below 0 and above 1 count as 0 and 1.
      clean: what they should be.
    """
    error = np.mean((np.clip(picture, 0, 1).astype(np.float64) - clean) ** 2)
    return float(-10 * np.log10(error))


def bar(console: Console) -> Progress:
    """Return the bar: pictures that are done, and how."""
    return Progress(
        TextColumn("denoise"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[name]}"),
        console=console,
        disable=not console.is_terminal,
    )


def table(results: dict[str, dict[str, float]]) -> Table:
    """Return the ratios as a table, the best of each level in bold."""
    made = Table(title="Peak signal to noise ratio, dB")
    made.add_column("")
    for level in LEVELS:
        made.add_column(f"noise {LEVELS[level]:.2f}", justify="right")
    best = {level: max(found[level] for found in results.values()) for level in LEVELS}
    for name, found in results.items():
        bold = {level: "[bold]" if found[level] == best[level] else "" for level in LEVELS}
        made.add_row(name, *(f"{bold[level]}{found[level]:.2f}" for level in LEVELS))
    return made
