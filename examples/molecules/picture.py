"""A run as a picture: how it learned, what it says of molecules, and some of them drawn."""

import io
from pathlib import Path

import numpy as np
from examples.molecules import running
from examples.molecules.molecules import Molecule, boiling, data, parsed
from examples.molecules.settings import Settings

SHOWN = 6
PIXELS = 240


def draw(folder: Path, settings: Settings) -> Path:
    """Draw the errors, predicted against measured boiling points, and molecules.

    Args:
      folder: of the run, which has come to its end.
      settings: of the run.

    Returns:
      The file, ``result.png``.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    _, held_out = data(settings)
    found = running.boil(running.restored(folder, settings), held_out, settings)
    figure = pyplot.figure(figsize=(12, 8), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3, 2))
    left, right = above.subplots(1, 2)
    draw_errors(left, folder)
    draw_comparison(right, found, boiling(held_out))
    rows = list(zip(below.subplots(1, SHOWN), held_out, found, strict=False))
    for axes, molecule, kelvin in rows:
        axes.imshow(drawn(molecule))
        axes.set_title(f"network {kelvin:.0f} K\nmeasured {molecule.boils:.0f} K", fontsize=10)
        axes.axis("off")
    path = folder / "result.png"
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return path


def draw_errors(axes, folder: Path) -> None:
    """Draw the error of each batch, and of the held out molecules now and then."""
    log = running.read_log(folder)
    losses = [(line["step"], line["loss"]) for line in log if "loss" in line]
    looks = [(line["step"], line["mae"]) for line in log if "mae" in line]
    axes.plot(*zip(*losses, strict=True), color="0.7", linewidth=0.6, label="batches")
    axes.plot(*zip(*looks, strict=True), color="tab:orange", marker="o", label="held out molecules")
    axes.set(xlabel="step", ylabel="mean absolute error, K", yscale="log", title="how it learned")
    axes.legend()


def draw_comparison(axes, found: np.ndarray, measured: np.ndarray) -> None:
    """Draw predicted against measured boiling points."""
    ends = [measured.min(), measured.max()]
    axes.plot(ends, ends, color="0.7", linewidth=1)
    axes.scatter(measured, found, s=6, alpha=0.6)
    axes.set(xlabel="measured, K", ylabel="by the network, K", title="boiling points, held out")


def drawn(molecule: Molecule) -> np.ndarray:
    """Return a drawing of a molecule, ``[height, width, 4]``."""
    from matplotlib import image
    from rdkit.Chem.Draw import rdMolDraw2D

    canvas = rdMolDraw2D.MolDraw2DCairo(PIXELS, PIXELS)
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, parsed(molecule.smiles))
    canvas.FinishDrawing()
    return image.imread(io.BytesIO(canvas.GetDrawingText()))
