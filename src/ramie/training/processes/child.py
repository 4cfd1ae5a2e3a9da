"""What runs in each process of a group."""

import contextlib
import dataclasses
import os
import pickle
import shutil
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ramie.training.processes.targets import Target, load, pickled

__all__ = ["Order", "main"]


@dataclasses.dataclass(frozen=True)
class Order:
    """What a process is to do.

    Attributes:
      target: the function.
      arguments: its pickled arguments, positional and by name.
      index: of this process.
      count: of processes.
      devices: of each process.
      address: where the first process listens.
      paths: the folders where modules are looked for.
      limit: seconds that the processes wait for each other at the start and at the end.
      result: the file that takes what the function returns.
    """

    target: Target
    arguments: bytes
    index: int
    count: int
    devices: int
    address: str
    paths: tuple[str, ...]
    limit: int
    result: str


def end_with_parent(before: Callable[[], object] = lambda: None) -> None:
    """End this process when the pipe from its parent closes, which a dead parent cannot prevent.

    The pipe is standard input, and something else takes its place: what asks for input then gets
    its end at once, instead of waiting for a parent that never writes.

    Args:
      before: what is done before.
    """
    pipe = os.dup(sys.stdin.fileno())
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(pipe, 1024):
                pass
        before()
        os._exit(1)

    threading.Thread(target=watch, name="ramie-parent", daemon=True).start()


def join(order: Order) -> None:
    """Make this process one of the job.

    Args:
      order: which one.
    """
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", order.devices)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        order.address,
        order.count,
        order.index,
        initialization_timeout=order.limit,
        shutdown_timeout_seconds=order.limit,
    )


def answer(order: Order, value: bytes) -> None:
    """Write what the function returned: the whole file or none.

    Args:
      order: where to.
      value: the pickled value.
    """
    path = Path(order.result)
    path.with_suffix(".part").write_bytes(value)
    path.with_suffix(".part").rename(path)


def main(file: str) -> None:
    """Join the job, call the function, and answer.

    A function that fails ends the process at once: a shutdown in good order would wait for the
    others, which may wait for this one.

    Args:
      file: holds the pickled order.
    """
    order: Order = pickle.loads(Path(file).read_bytes())
    folder = Path(file).parent  # which the parent removes, if it lives
    end_with_parent(lambda: shutil.rmtree(folder, ignore_errors=True))
    sys.path[:] = order.paths
    try:
        _call(order)
    except SystemExit as stop:
        _finish(order, stop.code)
    except BaseException:
        traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
    _leave()


def _finish(order: Order, code: Any) -> None:
    """End as the function asked for by `sys.exit`."""
    if code is None or code == 0:
        answer(order, pickle.dumps(None))
        return
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _call(order: Order) -> None:
    join(order)
    function = load(order.target)  # before the arguments, whose classes may be of its module
    arguments, keywords = pickle.loads(order.arguments)
    value = function(*arguments, **keywords)
    answer(order, pickled(value, f"What {order.target} returned"))


def _leave() -> None:
    """Leave the job together with the others; nobody is left waiting for one that has gone."""
    import jax

    jax.distributed.shutdown()
