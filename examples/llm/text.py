"""The text: the source of Python's own library, as bytes, in windows, shuffled by Grain.

Each process reads only the sequences of its own devices. A place in the text is a number of
batches, the same for every number of processes, so that a run goes on with other ones.
"""

import functools
import sysconfig
import zlib
from pathlib import Path

import grain
import jax
import numpy as np
from jax.sharding import NamedSharding

HELD_OUT = 0.05  # the last part of the text, for the loss on what was never trained on


@functools.cache
def read(limit: int = 8_000_000) -> np.ndarray:
    """Read modules in the order of their names, with their tests left out.

    Args:
      limit: bytes to read at most.

    Returns:
      The bytes, uint8.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    left_out = {"site-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__"}
    parts: list[bytes] = []
    total = 0
    for path in sorted(folder.rglob("*.py")):
        if left_out.isdisjoint(path.relative_to(folder).parts):
            parts.append(path.read_bytes())
            total += len(parts[-1])
            if total >= limit:
                break
    return np.frombuffer(b"".join(parts)[:limit], np.uint8)


def fingerprint(text: np.ndarray) -> str:
    """Tell a text from others: its length and a checksum.

    Args:
      text: the bytes.

    Returns:
      One line.
    """
    return f"{text.size} bytes, crc32 {zlib.crc32(text.tobytes()):08x}"


def held_out_from(text: np.ndarray) -> int:
    """Return where the part begins that is never trained on."""
    return int(len(text) * (1 - HELD_OUT))


class Windows:
    """Windows of a text, one byte longer than the model sees: the last one is only predicted."""

    def __init__(self, text: np.ndarray, length: int) -> None:
        self.text, self.length = text, length

    def __len__(self) -> int:
        """Return how many windows there are; they do not overlap but for one byte."""
        return (len(self.text) - 1) // self.length

    def __getitem__(self, index: int) -> np.ndarray:
        """Return one window, int32."""
        start = int(index) * self.length
        return self.text[start : start + self.length + 1].astype(np.int32)


def batches(
    text: np.ndarray, length: int, batch: int, sharding: NamedSharding, seed: int
) -> grain.DatasetIterator:
    """Return this process's part of shuffled batches, for ever.

    Batch number n is made of the same windows for every number of processes; their order inside
    of it may differ. So a state of one process is right for any number of them.

    Args:
      text: the bytes.
      length: of a sequence.
      batch: sequences of a batch, over all processes.
      sharding: how a batch lies on the devices.
      seed: of the order.

    Returns:
      An iterator over arrays ``[sequences of this process, length + 1]``, with `get_state` and
      `set_state`.
    """
    rows = {
        index[0].indices(batch)[:2]
        for index in sharding.addressable_devices_indices_map((batch, length + 1)).values()
    }
    first, last = min(start for start, _ in rows), max(stop for _, stop in rows)
    mine = last - first
    windows = grain.MapDataset.source(Windows(text, length)).seed(seed).shuffle().repeat()
    part = windows[first // mine :: batch // mine]
    ahead = grain.ReadOptions(num_threads=1, prefetch_buffer_size=8)  # the text is in memory
    return iter(part.batch(mine).to_iter_dataset(ahead))


def placed(part: np.ndarray, batch: int, sharding: NamedSharding) -> jax.Array:
    """Put this process's part of a batch onto its devices.

    Args:
      part: what `batches` gave.
      batch: sequences of the whole batch.
      sharding: how it lies on the devices.
    """
    shape = (batch, part.shape[1])
    return jax.make_array_from_process_local_data(sharding, part, shape)
