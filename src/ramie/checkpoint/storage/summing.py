"""Summing up a file: as fast as it is read, through a little memory that is used again and again.

One thread goes through the file from its beginning, as disks and kernels like it, and sums up what
it has read while that is in the processor's cache. Another one comes from the end, as long as the
kernel has what it needs in memory: it never makes the disk go to and fro.
"""

import os
import threading

from ramie.checkpoint.storage.integrity import Record
from ramie.checkpoint.storage.parallel import NO_WAIT, SMALLEST, read_at
from ramie.checkpoint.storage.progress import advance
from ramie.checkpoint.storage.threads import started

__all__ = ["sum_up_file"]

_STEP = 1 << 18


def sum_up_file(descriptor: int, chunk: int) -> Record:
    """Return the checksums of an open file.

    Args:
      descriptor: the open file.
      chunk: bytes per checksum.

    Raises:
      OSError: if it cannot be read.
    """
    status = os.fstat(descriptor)
    summing = _Summing(descriptor, status.st_size, chunk)
    helper = threading.Thread(target=summing.go_back, name="ramie-sum", daemon=True)
    is_helped = bool(NO_WAIT) and status.st_size >= SMALLEST and started(helper)
    try:
        summing.go_on()
    finally:
        summing.stop()
        if is_helped:
            helper.join()
    summing.go_on()  # with what the other thread has given back
    return Record(summing.total, chunk, summing.checksums, status.st_ino)


class _Summing:
    """The chunks of a file, of which one thread takes the first that is left, another the last.

    Attributes:
      total: how many bytes were read; fewer than the size if the file became shorter.
    """

    def __init__(self, descriptor: int, size: int, chunk: int) -> None:
        import xxhash

        self._new = xxhash.xxh3_64
        self._descriptor, self._size, self._chunk = descriptor, size, chunk
        self._first, self._end = 0, -(-size // chunk)
        self._is_stopped = False
        self._sums: dict[int, str] = {}
        self._lock = threading.Lock()
        self.total = self._told = 0

    @property
    def checksums(self) -> tuple[str, ...]:
        """The checksums, in order."""
        return tuple(self._sums[number] for number in sorted(self._sums))

    def go_on(self) -> None:
        """Sum up from the beginning what nobody has taken."""
        memory = self._memory()
        while True:
            advance(self.total - self._told)
            self._told = self.total
            with self._lock:
                number = self._first
                if number >= self._end:
                    return
                self._first += 1
            self._sum_up(number, memory, 0)

    def go_back(self) -> None:
        """Sum up from the end what is in the kernel's memory, until something is not."""
        memory = self._memory()
        while True:
            with self._lock:
                if self._is_stopped or self._first >= self._end:
                    return
                self._end -= 1
                number = self._end
            try:
                is_there = self._sum_up(number, memory, NO_WAIT)
            except OSError:  # not there, or no such way to read: the other thread finds out
                is_there = False
            if not is_there:
                with self._lock:
                    self._end = number + 1
                return

    def stop(self) -> None:
        """Let the thread that comes from the end take no more."""
        self._is_stopped = True

    def _memory(self) -> memoryview:
        return memoryview(bytearray(min(_STEP, self._chunk, self._size)))

    def _sum_up(self, number: int, memory: memoryview, flags: int) -> bool:
        """Sum up a chunk; return whether it was as long as it should be."""
        checksum = self._new()
        start = at = number * self._chunk
        end = min(start + self._chunk, self._size)
        while at < end:
            count = read_at(self._descriptor, memory[: end - at], at, flags)
            if not count:
                break
            checksum.update(memory[:count])
            at += count
        if at == end or not flags:
            with self._lock:
                self._sums[number] = checksum.hexdigest()
                self.total += at - start
        return at == end
