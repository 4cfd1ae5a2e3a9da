"""Packing: several phrases in each row of a batch, so that hardly anything is padding.

Segments tell which phrase of its row a token belongs to (1, 2, ..., and 0 for padding), positions
where in the phrase it stands. The model lets tokens of one segment see each other only.
"""

from typing import NamedTuple

import numpy as np
from examples.translation.tokens import EDGE

OPEN = 32  # rows that are tried for a phrase before a new one is begun


class Packed(NamedTuple):
    """A batch; all arrays are ``[rows, length]``, int32.

    Attributes:
      source: tokens to be translated.
      source_segments: their phrases.
      source_positions: their places in the phrases.
      before: tokens of the translation, an edge in front of each phrase.
      target: the token to be said at each place: that which comes next, an edge at the end.
      segments: the phrases of `before` and `target`.
      positions: their places.
    """

    source: np.ndarray
    source_segments: np.ndarray
    source_positions: np.ndarray
    before: np.ndarray
    target: np.ndarray
    segments: np.ndarray
    positions: np.ndarray


def rows_for(lengths: np.ndarray, length: int) -> list[list[int]]:
    """Divide phrases among rows: each goes into the first row that has room for both its sides.

    Args:
      lengths: tokens of source and target of each phrase, ``[phrases, 2]``.
      length: tokens of a row.

    Returns:
      The numbers of the phrases in each row.
    """
    closed: list[list[int]] = []
    opened: list[tuple[np.ndarray, list[int]]] = []  # the room that is left, and the phrases
    for number, needed in enumerate(lengths):
        chosen = next((one for one in opened if np.all(one[0] >= needed)), None)
        if chosen is None:
            chosen = (np.array([length, length]), [])
            opened.append(chosen)
        if len(opened) > OPEN:
            closed.append(opened.pop(0)[1])
        room, row = chosen
        room -= needed
        row.append(number)
    return closed + [row for _, row in opened]


def packed(rows: list[list[tuple[list[int], list[int]]]], length: int) -> Packed:
    """Write phrases into arrays.

    Args:
      rows: of each row its phrases, as pairs of tokens of source and target.
      length: tokens of a row.
    """
    arrays = Packed(*(np.zeros((len(rows), length), np.int32) for _ in Packed._fields))
    for at, row in enumerate(rows):
        start, target_start = 0, 0
        for segment, (source, target) in enumerate(row, 1):
            here = slice(start, start + len(source))
            arrays.source[at, here] = source
            arrays.source_segments[at, here] = segment
            arrays.source_positions[at, here] = range(len(source))
            there = slice(target_start, target_start + len(target) + 1)
            arrays.before[at, there] = [EDGE, *target]
            arrays.target[at, there] = [*target, EDGE]
            arrays.segments[at, there] = segment
            arrays.positions[at, there] = range(len(target) + 1)
            start, target_start = here.stop, there.stop
    return arrays


class Batches:
    """Shuffled batches of packed rows; which one is number n depends on n and the seed alone.

    Args:
      pairs: tokens of source and target of each phrase.
      length: tokens of a row.
      size: rows of a batch.
      seed: of the order.
    """

    def __init__(
        self, pairs: list[tuple[list[int], list[int]]], length: int, size: int, seed: int
    ) -> None:
        self.pairs, self.length, self.size, self.seed = pairs, length, size, seed
        self.lengths = np.array([(len(source), len(target) + 1) for source, target in pairs])
        # The number of rows is a little different in each order; this many are always there.
        fewest = int(self.lengths.sum(axis=0).max()) // length
        self.per_epoch = fewest // size
        if not self.per_epoch:
            raise ValueError(f"a batch of {size} rows is more than there is: {fewest} rows.")
        self._epoch, self._rows = -1, [[0]]

    def __getitem__(self, number: int) -> Packed:
        """Return one batch."""
        epoch, place = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, 1, epoch])
            order = rng.permutation(len(self.pairs))
            rows = rows_for(self.lengths[order], self.length)
            self._epoch, self._rows = epoch, [order[row].tolist() for row in rows]
        chosen = self._rows[place * self.size : (place + 1) * self.size]
        return packed([[self.pairs[i] for i in row] for row in chosen], self.length)
