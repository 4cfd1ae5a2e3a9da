"""Batches by Grain: shuffled and moved about for training, whole and masked for a test.

Batch number n of a run depends on the seed and on n, and on nothing else, so a run that goes on
starts in the middle without reading what was before.
"""

from collections.abc import Iterator
from typing import Any

import grain
import numpy as np
from examples.images.settings import Settings

READING = grain.ReadOptions(num_threads=4, prefetch_buffer_size=8)


def moved(example: dict[str, Any], rng: np.random.Generator, shift: int, flip: int) -> Any:
    """Move an image by some pixels in any direction, and perhaps exchange left and right.

    Args:
      example: image and label.
      rng: decides.
      shift: pixels at most; what comes in at the edge repeats it.
      flip: whether to exchange left and right, in every other image.
    """
    image = example["image"]
    size = len(image)
    row, column = rng.integers(0, 2 * shift + 1, 2)
    padded = np.pad(image, [(shift, shift), (shift, shift), (0, 0)], mode="edge")
    image = padded[row : row + size, column : column + size]
    if flip and rng.integers(2):
        image = image[:, ::-1]
    return example | {"image": image}


def training(source: Any, settings: Settings, first: int, last: int) -> Iterator[dict[str, Any]]:
    """Give the batches of steps `first` to `last`; the order is another one in each epoch.

    Args:
      source: images to learn from.
      settings: sizes, seed, and how images are moved.
      first: step, from 1.
      last: step.
    """
    every = grain.MapDataset.source(source).seed(settings.seed).shuffle().repeat()
    every = every.random_map(lambda x, rng: moved(x, rng, settings.shift, settings.flip))
    part = every.batch(settings.batch)[first - 1 : last]
    return iter(part.to_iter_dataset(READING))


def testing(source: Any, size: int) -> Iterator[dict[str, Any]]:
    """Give every image once, in batches of one size; the mask is False where nothing is.

    Args:
      source: images to test with.
      size: of a batch.
    """
    whole = grain.MapDataset.source(source).batch(size)
    for batch in whole.to_iter_dataset(READING):
        count = len(batch["label"])
        padded = {
            name: np.pad(value, [(0, size - count)] + [(0, 0)] * (value.ndim - 1))
            for name, value in batch.items()
        }
        yield padded | {"mask": np.arange(size) < count}


def brightness(source: Any, most: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each channel, over images from all parts of a source."""
    chosen = np.linspace(0, len(source) - 1, min(most, len(source))).astype(int)
    pixels = np.stack([source[int(index)]["image"] for index in chosen]).astype(np.float64)
    mean, deviation = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
    return mean.astype(np.float32), np.maximum(deviation, 1.0).astype(np.float32)
