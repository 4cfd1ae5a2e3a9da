"""Words to numbers: what BERT calls WordPiece.

A text is cut at spaces and punctuation, and each word into the longest pieces that the vocabulary
has: ``embeddings`` becomes ``em ##bed ##ding ##s``.

Devlin et al., *BERT: Pre-training of Deep Bidirectional Transformers*, 2018.
"""

import unicodedata
from pathlib import Path

import numpy as np
from examples.embeddings.settings import UsageError

LONGEST = 256  # pieces of a text; the weights were trained with no more
LONGEST_WORD = 100  # letters; longer words are unknown
_IDEOGRAPHS = (  # each is a word of its own
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class WordPiece:
    """A vocabulary that turns texts into rows of numbers.

    Args:
      path: a file with a piece in each line.
    """

    def __init__(self, path: Path):
        lines = path.read_text(encoding="utf-8").splitlines()
        self.numbers = {piece: number for number, piece in enumerate(lines)}
        missing = [piece for piece in ("[CLS]", "[SEP]", "[UNK]") if piece not in self.numbers]
        if missing:
            raise UsageError(f"{path} is no vocabulary of a BERT: it lacks {', '.join(missing)}.")

    def row(self, text: str) -> list[int]:
        """Return the numbers of the pieces of a text, between those of its start and its end.

        ``[CLS]`` or ``[SEP]`` in the text itself is text like any other.
        """
        found = [number for word in words(text) for number in self._pieces(word)]
        return [self.numbers["[CLS]"], *found[: LONGEST - 2], self.numbers["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        unknown = [self.numbers["[UNK]"]]
        if len(word) > LONGEST_WORD:
            return unknown
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in self.numbers:
                    found.append(self.numbers[piece])
                    start = end
                    break
            else:
                return unknown
        return found


def words(text: str) -> list[str]:
    """Split a text at spaces and around punctuation, without accents and in lower case."""
    apart = "".join(_apart(c) for c in text)
    plain = [c for c in unicodedata.normalize("NFD", apart) if unicodedata.category(c) != "Mn"]
    lower = "".join(c.lower() for c in plain)  # one by one: the last sigma of a word is as others
    return "".join(f" {c} " if _is_punctuation(c) else c for c in lower).split()


def _apart(c: str) -> str:
    if c in "\t\n\r":
        return " "
    if c == "\ufffd" or unicodedata.category(c).startswith("C"):
        return ""
    return f" {c} " if any(first <= ord(c) <= last for first, last in _IDEOGRAPHS) else c


def _is_punctuation(c: str) -> bool:
    if c.isascii():
        return c.isprintable() and not c.isalnum() and c != " "
    return unicodedata.category(c).startswith("P")


def padded(rows: list[list[int]], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Fill rows up to one length.

    Args:
      rows: numbers of pieces.
      length: of the longest row, or more.

    Returns:
      The numbers with 0 behind the end, int32 ``[batch, length]``, and where there are any, bool of
      the same shape.
    """
    there = np.arange(length) < np.array([[len(row)] for row in rows])
    pieces = np.zeros(there.shape, np.int32)
    pieces[there] = np.concatenate(rows)
    return pieces, there
