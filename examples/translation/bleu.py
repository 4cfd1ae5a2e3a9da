"""BLEU, the measure of translations (Papineni and others, 2002), over all phrases together."""

import collections
import math
import re

_WORD = re.compile(r"\w+|[^\w\s]")
LONGEST = 4


def bleu(found: list[str], right: list[str]) -> float:
    """Return how many of the runs of 1 to 4 words are right, 100 for all.

    Args:
      found: translations.
      right: of each the one that is right. Words and signs count, spaces do not.

    Returns:
      The geometric mean of the four shares, made less if the translations are too short.
    """
    same, total = [0] * LONGEST, [0] * LONGEST
    length = wanted = 0
    for one, other in zip(found, right, strict=True):
        words, reference = _WORD.findall(one), _WORD.findall(other)
        length += len(words)
        wanted += len(reference)
        for size in range(1, LONGEST + 1):
            runs, known = _runs(words, size), _runs(reference, size)
            same[size - 1] += (runs & known).total()  # each as often as it is in both
            total[size - 1] += runs.total()
    if not all(same):
        return 0.0
    shares = [math.log(a / b) for a, b in zip(same, total, strict=True)]
    short = min(0.0, 1 - wanted / length)
    return 100 * math.exp(sum(shares) / LONGEST + short)


def _runs(words: list[str], size: int) -> collections.Counter[tuple[str, ...]]:
    starts = range(len(words) - size + 1)
    return collections.Counter(tuple(words[i : i + size]) for i in starts)
