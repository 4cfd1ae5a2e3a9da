"""The digits that scikit-learn ships: 1797 scans of 8x8 pixels, whole numbers from 0 to 16."""

from collections.abc import Iterator

import numpy as np
from examples.vae.settings import UsageError

SIZE = 8  # rows and columns
LEVELS = 17  # what a pixel can be
HELD_OUT = 360


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Load the images, in the same two parts for every run.

    Returns:
      Images to learn from, images that are never learned from, each int32
      ``[n, 8, 8, 1]``, and the digits that the second show, ``[n]``.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise UsageError(
            "The digits come with scikit-learn, which is not installed. Install it with: "
            "pip install scikit-learn"
        ) from error
    digits = datasets.load_digits()
    images = digits.images.astype(np.int32)[..., None]
    order = np.random.default_rng(0).permutation(len(images))
    held_out, learned = order[:HELD_OUT], order[HELD_OUT:]
    return images[learned], images[held_out], digits.target[held_out]


def batches(images: np.ndarray, size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """Give the batches of one epoch; the order depends on the seed and the epoch alone.

    Args:
      images: all to learn from.
      size: of a batch; what does not fill one is left out of this epoch.
      seed: of the run.
      epoch: the number of the epoch.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(images))
    for start in range(0, len(images) - size + 1, size):
        yield images[order[start : start + size]]


def pixels_alone(learned: np.ndarray, held_out: np.ndarray) -> float:
    """Return the mean log probability of an image in nats, when every pixel stands on its own.

    Each pixel has the values that it had among the images that were learned from, as often; one
    more of each, so that none is impossible. This is what a model has to be better than.

    Args:
      learned: images to count in.
      held_out: images to measure with.
    """
    values = np.arange(LEVELS)
    counts = 1 + (learned == values).sum(0)
    log_probability = np.log(counts / counts.sum(-1, keepdims=True))
    found = (log_probability * (held_out == values)).sum((1, 2, 3))
    return float(found.mean())
