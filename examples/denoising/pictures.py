"""Pictures: those that packages ship, in grey; and what became of them, side by side."""

from pathlib import Path

import numpy as np
from examples.denoising import weights
from examples.denoising.settings import UsageError

SHIPPED = ("parrots", "china", "flower")


def read(name: str, size: int) -> np.ndarray:
    """Read the middle of a picture.

    Args:
      name: one of `SHIPPED`, or an image file.
      size: rows and columns at most.

    Returns:
      Grey values from 0 to 1, float32 ``[height, width]``.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError(
            "Pictures are read by Pillow, which is not installed. Install it with: "
            "pip install pillow"
        ) from error
    if name == "parrots":
        path = weights.shipped("data/examples/kodim23.png")
    elif name in SHIPPED:
        path = of_scikit_learn(name)
    else:
        path = Path(name)
        if not path.is_file():
            listed = ", ".join(SHIPPED)
            raise UsageError(
                f"--picture {name}: there is no such file, and it is none of {listed}."
            )
    try:
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L"), np.float32) / 255
    except (OSError, SyntaxError) as error:
        raise UsageError(f"{path} cannot be read as an image: {error}") from error
    if min(grey.shape) < 32:
        rows, columns = grey.shape
        raise UsageError(f"{path} has {rows}x{columns} pixels; it has to have 32x32 or more.")
    rows, columns = (max(0, (length - size) // 2) for length in grey.shape)
    return grey[rows : rows + size, columns : columns + size]


def of_scikit_learn(name: str) -> Path:
    """Return the path of a photograph that scikit-learn ships."""
    try:
        import sklearn.datasets
    except ImportError as error:
        raise UsageError(
            f"The picture {name} comes with scikit-learn, which is not installed. Install it with: "
            "pip install scikit-learn"
        ) from error
    return Path(sklearn.datasets.__file__).parent / "images" / f"{name}.jpg"


def check() -> None:
    """Find out before the work, not after it, whether pictures can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "The pictures are drawn by Matplotlib, which is not installed. Install it with: "
            "pip install matplotlib"
        ) from error


def side_by_side(shown: dict[str, np.ndarray], path: Path) -> Path:
    """Draw pictures beside each other, and the part with the most in it, enlarged, below.

    Args:
      shown: grey values ``[height, width]`` by what is written above; the first one decides which
        part is enlarged.
      path: the file.
    """
    from matplotlib.figure import Figure

    rows, columns = part_with_most(next(iter(shown.values())))
    figure = Figure(figsize=(3.2 * len(shown), 6.4), layout="constrained")
    cells = figure.subplots(2, len(shown)).T
    for (above, below), (title, picture) in zip(cells, shown.items(), strict=True):
        for axes, grey in ((above, picture), (below, picture[rows, columns])):
            axes.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_axis_off()
        above.set_title(title, fontsize=10)
    figure.savefig(path, dpi=120)
    return path


def part_with_most(picture: np.ndarray, cuts: int = 5) -> tuple[slice, slice]:
    """Return the rows and columns of that part of a picture in which grey values differ most."""
    height, width = (length // cuts for length in picture.shape)
    parts = [
        (slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width))
        for row in range(cuts)
        for column in range(cuts)
    ]
    return max(parts, key=lambda part: picture[part].std())
