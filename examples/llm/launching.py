"""Training in one process or several, and what ends it from outside: SIGTERM, Ctrl-C, a kill."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from examples.llm.settings import Settings

from ramie.errors import ProcessFailedError

Order = tuple[Path, Settings, str, int, bool]  # the arguments of `running.train`
LONG = 7 * 24 * 3600.0
NOTHING = "told to leave before the first step; nothing was changed"


@contextlib.contextmanager
def nothing_to_save() -> Iterator[None]:
    """End at once, and in good order, when SIGTERM comes before JAX watches for it."""

    def leave(number: int, frame: FrameType | None) -> None:
        print(NOTHING, file=sys.stderr, flush=True)
        os._exit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def job_of_one(devices: int | None) -> Iterator[int]:
    """Make this process a job: with that comes JAX's watch for SIGTERM, which Orbax asks.

    Args:
      devices: how many CPU devices; None for those that JAX finds.

    Yields:
      The number of devices.
    """
    import jax

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    jax.distributed.initialize(address, 1, 0)
    try:
        yield find(devices)
    finally:
        jax.distributed.shutdown()


def find(devices: int | None) -> int:
    """Return the number of devices.

    Args:
      devices: how many a CPU shall have; None for those that JAX finds.
    """
    import jax

    if devices is not None:
        jax.config.update("jax_num_cpu_devices", devices)
    return jax.device_count()


def apart(order: Order, count: int, devices: int) -> bool:
    """Train in several processes, hand a SIGTERM on to them, and end them all at Ctrl-C.

    Args:
      order: the arguments of `running.train`.
      count: how many processes.
      devices: CPU devices of each.

    Returns:
      Whether the run has come to its end.

    Raises:
      ProcessFailedError: one of them failed or was killed.
    """
    from ramie.testing import processes

    told = []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # theirs too; this process ends them
    with processes.start(
        "examples.llm.running:train",
        *order,
        processes=count,
        devices=devices,
        show=range(count),
    ) as group:
        signal.signal(signal.SIGINT, before)

        def hand_on(number: int, frame: FrameType | None) -> None:
            told.append(number)
            group.send_signal(number)

        signal.signal(signal.SIGTERM, hand_on)
        try:
            return all(group.wait(LONG))
        except ProcessFailedError as error:
            code = group.processes[error.index].returncode
            if not (told and code in (0, -signal.SIGTERM)):
                raise
            if code != 0:  # else it has said so itself
                print(NOTHING, file=sys.stderr)
            return False
