"""Progress: how many bytes of a long piece of work are done, for whoever watches it.

The loops that read and write bytes say how far they got, in the thread that was asked for the work.
Who watches is a context variable, so that nothing between has to hand it on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Progress", "advance", "unwatched", "watched"]

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many bytes are done, and how many there are."""

_watcher: ContextVar[Callable[[int], None] | None] = ContextVar("watcher", default=None)


def advance(nbytes: int) -> None:
    """Say that so many more bytes are done."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(nbytes)


@contextmanager
def watched(progress: Progress | None, what: str, total: int) -> Iterator[None]:
    """Tell a function of the bytes that are done meanwhile in this thread.

    Args:
      progress: the function; None lets whoever watches already watch on.
      what: what is being done.
      total: how many bytes there are. Where it was too low, it is as many as are done.
    """
    if progress is None:
        yield
        return
    done = 0

    def add(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        progress(what, done, max(done, total))

    progress(what, 0, total)
    token = _watcher.set(add)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextmanager
def unwatched() -> Iterator[None]:
    """Let nobody watch: what is done meanwhile is counted by somebody else."""
    token = _watcher.set(None)
    try:
        yield
    finally:
        _watcher.reset(token)
