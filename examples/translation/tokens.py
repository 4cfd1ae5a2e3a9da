"""Tokens: words that are frequent, and single characters for all else, so that nothing is lost."""

import collections
import re
from collections.abc import Iterable

import numpy as np

PADDING, EDGE, UNKNOWN = 0, 1, 2  # the edge comes before the first token and after the last one
_PIECE = re.compile(r" ?[^\W\d_]+|.", re.DOTALL)  # a word with the space before it, or a character


class Tokens:
    """Numbers for the pieces of texts.

    Args:
      texts: whose words and characters get numbers.
      rarest: how often a word has to be there.
    """

    def __init__(self, texts: Iterable[str], rarest: int) -> None:
        words: collections.Counter[str] = collections.Counter()
        characters: set[str] = set()
        for text in texts:
            words.update(_PIECE.findall(text))
            characters.update(text)
        often = {word for word, count in words.items() if count >= rarest}
        self.pieces = ["", "", "\N{REPLACEMENT CHARACTER}", *sorted(often | characters)]
        self.number = {piece: n for n, piece in enumerate(self.pieces) if n > UNKNOWN}

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return len(self.pieces)

    def row(self, text: str) -> list[int]:
        """Return the numbers of a text."""
        found: list[int] = []
        for piece in _PIECE.findall(text):
            if piece in self.number:
                found.append(self.number[piece])
            else:
                found += [self.number.get(character, UNKNOWN) for character in piece]
        return found

    def text(self, row: np.ndarray | list[int]) -> str:
        """Return the text of numbers, up to the first edge."""
        pieces = []
        for number in row:
            if number == EDGE:
                break
            pieces.append(self.pieces[number])
        return "".join(pieces)
