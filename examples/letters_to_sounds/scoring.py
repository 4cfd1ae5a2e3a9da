"""How good pronunciations are: the phoneme error rate."""

from examples.letters_to_sounds.words import Words


def distance(one: list[str], other: list[str]) -> int:
    """Return how many sounds to insert, leave out or replace to make one of the other."""
    before = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        now = [i]
        for j, right in enumerate(other, 1):
            now.append(min(before[j] + 1, now[j - 1] + 1, before[j - 1] + (left != right)))
        before = now
    return before[-1]


def rates(said: list[list[str]], words: Words) -> tuple[float, float]:
    """Compare with the dictionary; of several pronunciations the nearest one counts.

    Args:
      said: sounds of each word.
      words: the words, with all that is right.

    Returns:
      Wrong sounds in a hundred of the dictionary's (the phoneme error rate), and words with any
      wrong sound in a hundred.
    """
    wrong = sounds = wrong_words = 0
    for found, right in zip(said, words.pronunciations, strict=True):
        distances = [distance(found, one) for one in right]
        nearest = min(range(len(right)), key=distances.__getitem__)
        wrong += distances[nearest]
        sounds += len(right[nearest])
        wrong_words += distances[nearest] > 0
    return 100 * wrong / sounds, 100 * wrong_words / len(said)
