"""Weights that others trained: msgpack files of Flax, which the package scico ships.

scico itself is not imported. It would bring Flax with it; its files are all that is needed.
"""

import importlib.metadata
from pathlib import Path
from typing import Any

import jax
from examples.denoising.model import DnCNN
from examples.denoising.settings import UsageError

from ramie import checkpoint

INSTALL = "Install it with: pip install --no-deps scico==0.0.7"


def find(name: str) -> Path:
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


def load(depth: int, level: str) -> tuple[DnCNN, Any]:
    """Return a network and its weights.

    Args:
      depth: 6 or 17 convolutions.
      level: of the noise that it was trained with: L, M or H, or N for a network that is told.

    Returns:
      The module, and variables of the collections ``params`` and ``batch_stats``.
    """
    model = DnCNN(depth)
    picture = jax.ShapeDtypeStruct((1, 32, 32, 2 if level == "N" else 1), "float32")
    expected = jax.eval_shape(model.init, jax.random.key(0), picture)
    file = find(f"data/flax/dncnn{depth}{level}.mpk")
    return model, checkpoint.restore(file, target=expected)  # refuses other shapes
