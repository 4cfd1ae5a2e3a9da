"""Saving in the background: the values of the call, one save at a time, no failure unheard."""

import atexit
import os
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import jax
import numpy as np

from ramie.serialization.arrays import is_prng_key, may_be_a_view, own, to_host

__all__ = ["AsyncManager", "before_exit", "snapshot"]

_LARGE = 1 << 20
_COPIERS = min(4, os.cpu_count() or 1)


def snapshot(state: Any) -> Any:
    """Take hold of the values of a state dict, whatever is done to the originals afterwards.

    Arrays of a device are fetched. All that lies in host memory is copied, JAX arrays as well:
    those that were placed there by `jax.device_put` may be views of memory that the program goes
    on writing to.

    Raises:
      ValueError: if an array cannot be reached, as `serialization.arrays.to_host` says.
    """
    for leaf in jax.tree_util.tree_leaves(state):
        is_ready = isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer)
        if is_ready and not leaf.is_deleted() and leaf.is_fully_addressable:
            leaf.copy_to_host_async()  # of all arrays, before the first one is waited for
    copies: list[tuple[Any, Any]] = []
    try:
        held = _hold(state, copies)
    except ValueError as error:
        raise ValueError(_with_path(state, error)) from None
    if copies:
        with ThreadPoolExecutor(_COPIERS) as pool:
            list(pool.map(lambda pair: np.copyto(*pair), copies))
    return held


def _hold(value: Any, copies: list[tuple[Any, Any]]) -> Any:
    """Do the work of `snapshot`, but for copying large arrays: lists them, as copy and original."""
    if isinstance(value, dict):
        return {key: _hold(item, copies) for key, item in value.items()}
    if isinstance(value, list):
        return [_hold(item, copies) for item in value]
    if isinstance(value, jax.Array):
        if is_prng_key(value):
            return own(value)
        host = to_host(value)
        is_own = host.flags.owndata or not may_be_a_view(value)  # fetched, or joined from shards
        return host if is_own else _copied(host, copies)
    if isinstance(value, np.ndarray):
        return _copied(to_host(value), copies)
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value


def _with_path(state: Any, error: ValueError) -> str:
    """Say where the value is that cannot be held. Asked only then: keeping paths takes time."""
    for keys, leaf in jax.tree_util.tree_leaves_with_path(state):
        try:
            _hold(leaf, [])
        except ValueError:
            path = "/".join([".", *(str(key.key) for key in keys if hasattr(key, "key"))])
            return f"Cannot serialize the value at path {path}: {error}."
    return str(error)


def _copied(host: np.ndarray[Any, Any], copies: list[tuple[Any, Any]]) -> np.ndarray[Any, Any]:
    if host.nbytes < _LARGE:
        return np.array(host)
    copies.append((np.empty(host.shape, host.dtype), host))
    return copies[-1][0]


class _Unheard:
    """Failures that no call has raised yet; what is left when the process ends gets printed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: dict[int, BaseException] = {}
        atexit.register(self.report)

    def add(self, failure: BaseException) -> None:
        with self._lock:
            self._failures[id(failure)] = failure

    def hear(self, failure: BaseException | None) -> None:
        with self._lock:
            self._failures.pop(id(failure), None)

    def report(self) -> None:
        with self._lock:
            failures, self._failures = list(self._failures.values()), {}
        for failure in failures:
            print("A checkpoint was not saved in the background:", file=sys.stderr)
            traceback.print_exception(failure)


_UNHEARD = _Unheard()


def before_exit(finish: Callable[[], None]) -> None:
    """Call a function when the program ends, while threads and executors still work.

    When Python ends it first shuts down all executors, without which Orbax cannot go on; the
    functions of `atexit` come later. Executors learn of the end by a hook of `threading`, and so
    do we, before them. Should that hook be gone, `atexit` is what remains.

    Args:
      finish: the function; what it raises gets printed.
    """

    def finish_and_tell() -> None:
        try:
            finish()
        except BaseException as failure:
            _UNHEARD.add(failure)

    getattr(threading, "_register_atexit", atexit.register)(finish_and_tell)


_RUNNING: set[Future[Any]] = set()


def _finish_running() -> None:
    wait(list(_RUNNING))  # who failed has said so to _UNHEARD


before_exit(_finish_running)


class AsyncManager:
    """Runs saves in a thread, one after another; pass it to `save_checkpoint`.

    A save waits for the one before it, so that overwriting and retention see finished files. A
    failure is raised by the next save or by `wait_previous_save`, and printed at the latest when
    the process ends; the process waits for a save that is under way.

    Args:
      max_workers: the number of threads; one is enough, since saves follow each other.

    Attributes:
      save_future: the last save, or None before the first.
    """

    def __init__(self, max_workers: int = 1) -> None:
        self.executor = ThreadPoolExecutor(max_workers, thread_name_prefix="ramie-checkpoint")
        self.save_future: Future[Any] | None = None

    def wait_previous_save(self) -> None:
        """Wait until the last save is done.

        Raises:
          Exception: what made it fail; once, the next call returns.
        """
        future, self.save_future = self.save_future, None
        if future is None:
            return
        failure = future.exception()
        if failure is not None:
            _UNHEARD.hear(failure)
            raise failure
        self.save_future = future

    def save_async(self, task: Callable[[], Any]) -> None:
        """Run a task in the background, after waiting for the last one.

        Raises:
          Exception: what made the last one fail; then the task is not started.
        """
        self.wait_previous_save()
        self.save_future = self.executor.submit(_run, task)
        _RUNNING.add(self.save_future)
        self.save_future.add_done_callback(_RUNNING.discard)


def _run(task: Callable[[], Any]) -> Any:
    try:
        return task()
    except BaseException as failure:
        _UNHEARD.add(failure)
        raise
