"""Weights that others trained: msgpack files of Flax, which the package scico ships.

scico itself is not imported. It would bring Flax with it; its files are all that is needed.
"""

import importlib.metadata
from pathlib import Path

from examples.denoising.settings import UsageError

INSTALL = "Install it with: pip install --no-deps scico==0.0.7"


def find(depth: int, level: str) -> Path:
    """Return the path of the weights of a network.

    Args:
      depth: 6 or 17 convolutions.
      level: of the noise that it was trained with: L, M or H, or N for a network that is told.
    """
    return shipped(f"data/flax/dncnn{depth}{level}.mpk")


def shipped(name: str) -> Path:
    """Return the path of a file that scico ships.

    Args:
      name: its path in the package.
    """
    try:
        files = importlib.metadata.files("scico") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise UsageError(
            f"The weights come with scico, which is not installed. {INSTALL}"
        ) from error
    for file in files:
        path = Path(str(file.locate()))
        if file.as_posix() == f"scico/{name}" and path.is_file():
            return path
    version = importlib.metadata.version("scico")
    raise UsageError(f"scico {version} has no file {name}; scico 0.0.7 has. {INSTALL}")
