"""The handwritten digits that scikit-learn ships: 1797 grey images of 8x8 pixels, real scans."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ramie import errors

__all__ = ["Digits", "Split", "batches", "load_digits"]

_TEST_IMAGES = 360
_SPLIT_SEED = 0


@dataclass(frozen=True)
class Split:
    """Images with the digits they show.

    Args:
        images: float32 `[n, 8, 8, 1]`.
        labels: int32 `[n]`, 0 to 9.
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Digits:
    """The data set, divided for good into what is learned from and what is only tested on."""

    train: Split
    test: Split


def load_digits() -> Digits:
    """Load, divide and normalise the digits.

    The division is the same for every run, whatever its seed, so that results can be compared.

    Returns:
        1437 training and 360 test images, as arrays in memory.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise errors.MissingExtraError("sklearn", "demo", "load the digits") from error

    digits = datasets.load_digits()
    images = digits.images.astype(np.float32)[..., np.newaxis]
    labels = digits.target.astype(np.int32)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))
    test, train = order[:_TEST_IMAGES], order[_TEST_IMAGES:]
    # The test images are normalised with what was measured on the training images alone.
    mean, deviation = images[train].mean(), images[train].std()
    images = (images - mean) / deviation
    return Digits(Split(images[train], labels[train]), Split(images[test], labels[test]))


def batches(split: Split, batch_size: int, seed: int, epoch: int) -> Iterator[Split]:
    """Yield the images in the order of one epoch, in batches of equal size.

    The order depends on `(seed, epoch)` and on nothing else, in particular not on the epochs
    before. That is why a run resumed at some epoch sees what it would have seen anyway.

    Args:
        split: The images to draw from.
        batch_size: Images per batch. The few left over at the end are not shown in this epoch, so
            that every batch has one shape and the train step compiles once.
        seed: The seed of the run.
        epoch: Which epoch, from 1.

    Yields:
        The batches.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(split))
    for start in range(0, len(split) - batch_size + 1, batch_size):
        chosen = order[start : start + batch_size]
        yield Split(split.images[chosen], split.labels[chosen])
