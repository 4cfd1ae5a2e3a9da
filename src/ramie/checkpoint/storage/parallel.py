"""Reading a large file with several threads: each array into its own memory, all of it summed up.

Taking fresh memory and copying into it costs more than most disks do, and two processors do it
twice as fast. Whoever decodes the file sees only what is small; arrays are filled behind its back
until `ParallelStream.settle` is called. The checksum of a chunk is taken from what was put into
its place, not from the file again.

Where the kernel has to fetch the file from the disk, it reads ahead of whoever reads in order, and
several threads only disturb it: then the whole file is read in order, to nowhere, and the threads
find it in the kernel's memory.
"""

import os
import queue
import threading
from typing import Any, NamedTuple

from ramie.checkpoint.storage.integrity import Record
from ramie.errors import MalformedDataError

__all__ = ["NO_WAIT", "SMALLEST", "ParallelStream", "read_at"]

SMALLEST = 1 << 25
"""Bytes from which on a file is worth it."""
NO_WAIT = getattr(os, "RWF_NOWAIT", 0)
"""A flag for `read_at`: rather fail than wait for the disk; 0 where systems have no such thing."""

_BLOCK = 1 << 16
_DEFERRED = 1 << 17
_STEP = 1 << 20
_THREADS = min(4, os.cpu_count() or 1)
_PENDING = 2
_SEEKING = threading.Lock()


def read_at(descriptor: int, memory: memoryview, place: int, flags: int = 0) -> int:
    """Fill memory from a place in an open file; return how many bytes that were, 0 at the end.

    Raises:
      OSError: if the file cannot be read, or not as the flags ask for.
    """
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [memory], place, flags)
    with _SEEKING:  # Windows: the place to read from belongs to the file
        os.lseek(descriptor, place, os.SEEK_SET)
        data = os.read(descriptor, len(memory))
    memory[: len(data)] = data
    return len(data)


class _Span(NamedTuple):
    """A part of a file: bytes that were read, or memory that is to be filled."""

    start: int
    memory: memoryview
    is_read: bool


class _Chunk(NamedTuple):
    """The parts of the file that one checksum speaks of."""

    number: int
    spans: list[_Span]


class ParallelStream:
    """An open file for decoding; large pieces are filled by threads, a little later.

    Args:
      descriptor: the open file.
      size: how many bytes to read.
      chunk: bytes per checksum; 0 if none are wanted.
      source: the name of the file, for error messages.
    """

    def __init__(self, descriptor: int, size: int, chunk: int, source: str) -> None:
        self._descriptor, self._size, self._source = descriptor, size, source
        self._chunk, self._summed = chunk or _STEP << 4, bool(chunk)
        self._at, self._run = 0, 0  # what lies between was read out of the block
        self._block, self._block_at = b"", 0
        self._open = _Chunk(0, [])
        self._orders: queue.Queue[_Chunk | None] = queue.Queue(_PENDING)
        self._sums: dict[int, str] = {}
        self._got = 0
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._is_on_disk, self._scratch = False, bytearray(_STEP)
        self._threads = [
            threading.Thread(target=self._work, name="ramie-read", daemon=True)
            for _ in range(_THREADS)
        ]
        for thread in self._threads:
            thread.start()

    # -- the caller's side --------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer at the end."""
        offset = self._at - self._block_at
        if offset + size > len(self._block):
            self._end_run()
            want = min(max(size, _BLOCK), self._size - self._at)
            block = bytearray(want)
            got = read_at(self._descriptor, memoryview(block), self._at)
            self._block, self._block_at = bytes(block[:got]), self._at
            offset = 0
        data = self._block[offset : offset + size]
        self._at += len(data)
        return data

    def readinto(self, memory: memoryview) -> int:
        """Take note of memory to be filled with the next bytes; return how many there will be."""
        if len(memory) < _DEFERRED:
            data = self.read(len(memory))
            memory[: len(data)] = data
            return len(data)
        self._end_run()
        count = min(len(memory), self._size - self._at)
        self._is_on_disk = self._is_on_disk or not self._is_cached(self._at + count - 1)
        if self._is_on_disk:
            self._fetch(self._at, count)
        self._note(memory[:count], is_read=False)
        self._at = self._run = self._at + count
        self._block, self._block_at = b"", self._at
        return count

    def _is_cached(self, place: int) -> bool:
        """Tell whether the kernel has a place in memory, as far as that can be found out."""
        if not NO_WAIT:
            return True
        try:
            read_at(self._descriptor, memoryview(bytearray(1)), place, NO_WAIT)
        except BlockingIOError:
            return False
        except OSError:  # no such way to read here
            return True
        return True

    def _fetch(self, place: int, count: int) -> None:
        """Have the kernel read a part of the file from the disk."""
        scratch = memoryview(self._scratch)
        for start in range(0, count, _STEP):
            read_at(self._descriptor, scratch[: count - start], place + start)

    def settle(self) -> None:
        """Wait until all memory that was noted is filled.

        Raises:
          OSError: if the file could not be read.
          MalformedDataError: if it became shorter meanwhile.
        """
        for index, span in enumerate(self._open.spans):
            if not span.is_read:
                self._fill(span.memory, span.start)
                self._open.spans[index] = span._replace(is_read=True)
        self._orders.join()
        self._raise()

    def record(self, inode: int = 0) -> Record:
        """Read what is left, wait for all, and return the checksums of the whole file."""
        while self._summed and self.read(_BLOCK):
            pass
        self.close()
        self._raise()
        sums = tuple(self._sums[index] for index in sorted(self._sums))
        return Record(self._got, self._chunk, sums, inode)

    def close(self) -> None:
        """Finish what was noted, and end the threads."""
        if not self._threads:
            return
        self._end_run()
        if self._open.spans:
            self._hand_over()
        for _ in self._threads:
            self._orders.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _end_run(self) -> None:
        """Note what was read out of the block since the last time."""
        start = self._run - self._block_at
        view = memoryview(self._block)[start : self._at - self._block_at]
        self._at, self._run = self._run, self._at
        self._note(view, is_read=True)
        self._at = self._run

    def _note(self, view: memoryview, is_read: bool) -> None:
        """Append memory, which begins at the present position, to the chunks it lies in."""
        start = self._at
        while view:
            room = (self._open.number + 1) * self._chunk - start
            self._open.spans.append(_Span(start, view[:room], is_read))
            start, view = start + min(room, len(view)), view[room:]
            if start == (self._open.number + 1) * self._chunk:
                self._hand_over()

    def _hand_over(self) -> None:
        self._orders.put(self._open)
        self._open = _Chunk(self._open.number + 1, [])

    # -- the threads' side --------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            chunk = self._orders.get()
            try:
                if chunk is None:
                    return
                if self._failure is None:
                    self._finish(chunk)
            except BaseException as failure:  # whoever waits for the queue must not hang
                self._failure = failure
            finally:
                del chunk
                self._orders.task_done()

    def _finish(self, chunk: _Chunk) -> None:
        checksum: Any = None
        if self._summed:
            import xxhash

            checksum = xxhash.xxh3_64()
        for span in chunk.spans:
            for start in range(0, len(span.memory), _STEP):
                part = span.memory[start : start + _STEP]
                if not span.is_read:
                    self._fill(part, span.start + start)
                if checksum is not None:
                    checksum.update(part)
        with self._lock:
            self._got += sum(len(span.memory) for span in chunk.spans)
            if checksum is not None:
                self._sums[chunk.number] = checksum.hexdigest()

    def _fill(self, memory: memoryview, place: int) -> None:
        done = 0
        while done < len(memory):
            count = read_at(self._descriptor, memory[done:], place + done)
            if not count:
                problem = "the file became shorter while it was read"
                raise MalformedDataError(problem, source=self._source)
            done += count
