"""Several processes of one job: what the first decides, and when all have come to a point.

Only process 0 makes, renames and removes things; the others write their parts of arrays, which
Orbax sees to. All of them call the same functions in the same order.
"""

import itertools
from collections.abc import Callable

import jax
import numpy as np

from ramie.checkpoint.formats import orbax
from ramie.errors import MalformedDataError

__all__ = ["ELSEWHERE", "agree", "decided_by_first", "done_by_first", "is_first", "meet", "share"]

ELSEWHERE = "Nothing was saved: another process of the job failed, and its error says why."
"""What the other processes are told."""

_ROOM = 1024
_TIMEOUT_MS = 600_000
_COUNT = itertools.count()


def is_first() -> bool:
    """Tell whether this is process 0."""
    return jax.process_index() == 0


def decided_by_first(decide: Callable[[], str]) -> str:
    """Return to all processes what a function returned to process 0, which alone calls it.

    Call it from the main thread: it sends the text through the devices.

    Raises:
      Exception: to process 0, what the function raised.
      RuntimeError: to the others, if it raised.
    """
    if jax.process_count() == 1:
        return decide()
    failure: BaseException | None = None
    page = np.zeros(_ROOM, np.uint8)
    if is_first():
        try:
            text = decide().encode()
            page[0] = 1
            page[1 : 1 + len(text)] = np.frombuffer(text, np.uint8)
        except BaseException as error:  # the others wait for us
            failure = error
    from jax.experimental import multihost_utils

    page = np.asarray(multihost_utils.broadcast_one_to_all(page))
    if failure is not None:
        raise failure
    if not page[0]:
        raise RuntimeError(ELSEWHERE)
    return bytes(page[1:]).rstrip(b"\0").decode()


def done_by_first(act: Callable[[], None]) -> None:
    """Let process 0 alone call a function, and the others wait; see `decided_by_first`."""

    def decide() -> str:
        act()
        return ""

    decided_by_first(decide)


def share() -> tuple[int, int]:
    """Return the number of this process, and how many there are."""
    return jax.process_index(), jax.process_count()


def agree(act: Callable[[], None], path: str) -> None:
    """Call a function that reads a checkpoint; if it fails in one process, it does in all.

    Raises:
      Exception: what it raised here.
      MalformedDataError: if it raised elsewhere.
    """
    if jax.process_count() == 1:
        act()
        return
    failure: BaseException | None = None
    try:
        act()
    except Exception as error:  # the others wait for us
        failure = error
    from jax.experimental import multihost_utils

    failed = multihost_utils.process_allgather(np.array([failure is not None]))
    if failure is not None:
        raise failure
    if np.asarray(failed).any():
        raise MalformedDataError("another process of the job cannot read its part", source=path)


def meet() -> None:
    """Wait until all processes are here; also in a thread."""
    if jax.process_count() == 1:
        return
    package = orbax.import_orbax("let several processes wait for each other")
    package.multihost.get_barrier_sync_fn()(
        key=f"ramie_checkpoint_{next(_COUNT)}", timeout_ms=_TIMEOUT_MS
    )
