"""Groups of processes: started together, waited for with a limit, never left behind."""

import contextlib
import dataclasses
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ramie.errors.processes import ProcessFailedError, ProcessTimeoutError
from ramie.training.processes.child import Order
from ramie.training.processes.targets import Target, find, pickled, unpickled

__all__ = ["Group", "Process", "run", "start"]

_DEVICES_FLAG = "--xla_force_host_platform_device_count"
_GRACE = 10.0  # what the others have to end in after the first failure
_LAST = 3000  # characters of output in a message
_CHILD = (
    "import sys; sys.path[:] = {paths!r}; "
    "from ramie.training.processes import child; child.main(sys.argv[1])"
)


class Process:
    """One process of a group.

    Attributes:
      index: which one, from 0; `jax.process_index()` inside.
      pid: its number in the system.
    """

    def __init__(
        self, index: int, popen: "subprocess.Popen[bytes]", folder: Path, target: str
    ) -> None:
        self.index = index
        self._target = target
        self.pid = popen.pid
        self._popen = popen
        self._folder = folder
        self._kept = ""
        self._answer: Any = None

    @property
    def returncode(self) -> int | None:
        """How it ended: 0, an exit code, the negative number of a signal; None while it runs."""
        return self._popen.poll()

    @property
    def output(self) -> str:
        """What it has printed up to now, errors included; "" where the terminal shows it."""
        file = self._folder / f"{self.index}.out"
        if file.exists():
            self._kept = file.read_text(encoding="utf-8", errors="replace")
        return self._kept

    @property
    def value(self) -> Any:
        """What the function returned; None before that.

        Raises:
          ProcessTargetError: it came here, and cannot be made again from its pickle.
        """
        file = self._folder / f"{self.index}.result"
        if file.exists():
            self._answer = unpickled(
                file.read_bytes(), f"What {self._target} returned in process {self.index}"
            )
        return self._answer

    @property
    def _has_answered(self) -> bool:
        return (self._folder / f"{self.index}.result").exists()

    def send_signal(self, number: int) -> None:
        """Send a signal, such as ``signal.SIGTERM``; one that has ended is passed over.

        Args:
          number: the signal.
        """
        self._popen.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a machine that fails would: ``kill -9``."""
        self._popen.kill()

    def _wait(self) -> None:
        self._popen.wait()

    def _has_failed(self) -> bool:
        """Whether it ended with an error, or without one before the function returned."""
        return self.returncode != 0 or not self._has_answered

    def _keep(self) -> None:
        """Read what is in files that are about to go, and close the pipe that it lives by."""
        if self._popen.stdin is not None:
            self._popen.stdin.close()
        _ = self.output, self.value


class Group:
    """Processes of one job; made by `start`. Leaving it as a context stops what still runs.

    Attributes:
      processes: all of them, by index.
    """

    def __init__(self, processes: Sequence[Process], target: Target, folder: Any) -> None:
        self.processes = tuple(processes)
        self._target = str(target)
        self._folder = folder
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._waiters = [
            threading.Thread(target=self._announce, args=(process,), daemon=True)
            for process in self.processes
        ]
        for waiter in self._waiters:
            waiter.start()
        self._left = set(range(len(self.processes)))

    def _announce(self, process: Process) -> None:
        process._wait()
        self._ended.put(process.index)

    def __enter__(self) -> Self:
        """Return the group."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop what still runs, and remove the files."""
        self.stop()

    def wait(self, timeout: float = 120.0, *, check: bool = True) -> list[Any]:
        """Wait until all have ended.

        When one fails, the others have ten seconds: most wait for it in a collective operation,
        and would wait for ever.

        Args:
          timeout: seconds for all together.
          check: whether a failure raises. Otherwise `Process.returncode` tells.

        Returns:
          What the function returned in each process; None for one that failed.

        Raises:
          ProcessFailedError: one failed, or ended before the function returned, and `check` is
            set.
          ProcessTimeoutError: some did not end in time; all are stopped.
          ProcessTargetError: what one returned cannot be read here.
          ValueError: `timeout` is no number of seconds.
        """
        _check_seconds(timeout)
        end = time.monotonic() + timeout
        first: int | None = None
        while self._left:
            try:
                index = self._ended.get(timeout=_within(end - time.monotonic()))
            except queue.Empty:
                break
            self._left.discard(index)
            if first is None and self.processes[index]._has_failed():
                first = index
                end = min(end, time.monotonic() + _GRACE)
        late = sorted(self._left)
        returned = [index for index in late if self.processes[index]._has_answered]
        self.stop()
        if late and first is None:
            raise ProcessTimeoutError(
                late,
                len(self.processes),
                self._target,
                timeout,
                self.processes[late[0]].output[-_LAST:].strip(),
                returned,
            )
        if first is not None and check:
            raise self._failure(first, late)
        return [process.value for process in self.processes]

    def _failure(self, index: int, late: Collection[int]) -> ProcessFailedError:
        process = self.processes[index]
        others = (
            f"Processes {', '.join(map(str, late))} were still running and were stopped."
            if late
            else ""
        )
        return ProcessFailedError(
            index,
            len(self.processes),
            self._target,
            _how(process.returncode),
            process.output[-_LAST:].strip(),
            others,
        )

    def send_signal(self, number: int) -> None:
        """Send a signal to all that still run, as a scheduler does before it takes a machine away.

        Args:
          number: such as ``signal.SIGTERM``.
        """
        for process in self.processes:
            process.send_signal(number)

    def stop(self) -> None:
        """End all that still run, at once, and remove the files. Outputs and values stay."""
        for process in self.processes:
            if process.returncode is None:
                process.kill()
        for waiter in self._waiters:
            waiter.join()
        self._left.clear()
        with contextlib.ExitStack() as stack:  # all of it, also where a value cannot be read
            stack.callback(self._folder.cleanup)
            for process in self.processes:
                stack.callback(process._keep)


def _how(code: int | None) -> str:
    """Say how a process ended, to be read after its name."""
    if code == 0:
        return "ended with exit code 0 before the function returned"
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _check_seconds(timeout: Any) -> None:
    """Refuse what is no number of seconds."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise ValueError(
            f"timeout={timeout!r}: give seconds, a number from 0 on; float('inf') waits for ever."
        )


def _within(seconds: float) -> float:
    """Return seconds that a queue can wait."""
    return min(max(0.0, seconds), threading.TIMEOUT_MAX)


def start(
    function: Callable[..., Any] | str,
    /,
    *arguments: Any,
    processes: int = 2,
    devices: int = 1,
    environment: Mapping[str, str] | None = None,
    show: Collection[int] = (),
    join_timeout: int = 60,
    **keywords: Any,
) -> Group:
    """Start a function in several JAX processes that form one job on this machine.

    Each has `jax.distributed` initialised and sees all devices of the job, its own CPU devices
    among them; collectives go through gloo on loopback. Nothing is left behind: processes end when
    the group is left, or when the process that started them ends, even by ``kill -9``. What the
    function itself starts, such as a subprocess, is the function's to end. There is no standard
    input.

    Args:
      function: a function at the top level of a module or script, or ``"module:function"``.
        Another process imports it, so that a script keeps what it does under
        ``if __name__ == "__main__"``.
      *arguments: for the function; pickled.
      processes: how many processes.
      devices: CPU devices of each.
      environment: variables to set or to replace.
      show: processes whose output goes to this terminal instead of being kept, such as ``(0,)``.
      join_timeout: seconds in which all have to come together, at the start and at the end.
      **keywords: for the function, by name; pickled.

    Returns:
      The group, to be used as a context.

    Raises:
      ProcessTargetError: the function or an argument cannot be sent to another process.
      ValueError: a number that is not positive, or a process to show that there is not.

    Example:
        >>> import signal
        >>> from ramie.testing import processes
        >>> with processes.start("platform:system", processes=1) as group:
        ...     group.send_signal(signal.SIGTERM)
        ...     values = group.wait(timeout=60, check=False)
        >>> group.processes[0].returncode == -signal.SIGTERM, values
        (True, [None])

    Differs from Flax, which has nothing of the kind.
    """
    target = find(function)
    whole = {"processes": processes, "devices": devices, "join_timeout": join_timeout}
    for name, number in whole.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name}={number!r}: give a whole number from 1 on.")
    strange = sorted(set(show) - set(range(processes)))
    if strange:
        raise ValueError(
            f"show={tuple(show)!r} names process {strange[0]}; there are {processes}, counted "
            "from 0."
        )
    order = Order(
        target=target,
        arguments=pickled((arguments, keywords), f"An argument for {target}"),
        index=0,
        count=processes,
        devices=devices,
        address=f"127.0.0.1:{_free_port()}",
        paths=tuple(sys.path),
        limit=join_timeout,
        result="",
    )
    folder = tempfile.TemporaryDirectory(prefix="ramie-processes-")
    started: list[Process] = []
    try:
        for index in range(processes):
            started.append(
                _spawn(order, index, Path(folder.name), environment or {}, index in show)
            )
        return Group(started, target, folder)
    except BaseException:
        for process in started:
            process.kill()
            process._wait()
        folder.cleanup()
        raise


def _spawn(
    order: Order, index: int, folder: Path, environment: Mapping[str, str], shown: bool
) -> Process:
    """Start one process, which reads its order from a file and its parent's life from a pipe."""
    file = folder / f"{index}.order"
    mine = dataclasses.replace(order, index=index, result=str(folder / f"{index}.result"))
    file.write_bytes(pickle.dumps(mine))
    command = [sys.executable, "-c", _CHILD.format(paths=list(order.paths)), str(file)]
    with contextlib.ExitStack() as stack:
        out = None
        if not shown:
            out = stack.enter_context((folder / f"{index}.out").open("wb"))
        popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=None if shown else subprocess.STDOUT,
            env=_environment(environment),
        )
    return Process(index, popen, folder, str(order.target))


def _environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's variables, without what would decide the number of devices otherwise."""
    variables = {**os.environ, "PYTHONUNBUFFERED": "1", **changes}
    flags = variables.get("XLA_FLAGS", "").split()
    variables["XLA_FLAGS"] = " ".join(f for f in flags if not f.startswith(_DEVICES_FLAG))
    variables.pop("JAX_NUM_CPU_DEVICES", None)
    return variables


def _free_port() -> int:
    """A port that was free a moment ago; the system gives another one to whoever asks next."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run(
    function: Callable[..., Any] | str,
    /,
    *arguments: Any,
    processes: int = 2,
    devices: int = 1,
    timeout: float = 120.0,
    environment: Mapping[str, str] | None = None,
    show: Collection[int] = (),
    join_timeout: int = 60,
    **keywords: Any,
) -> list[Any]:
    """Run a function in several JAX processes that form one job, and return what each returned.

    Args:
      function: a function at the top level of a module or script, or ``"module:function"``.
      *arguments: for the function; pickled.
      processes: how many processes.
      devices: CPU devices of each.
      timeout: seconds for all of it; then every process is stopped.
      environment: variables to set or to replace.
      show: processes whose output goes to this terminal.
      join_timeout: seconds in which all have to come together, at the start and at the end.
      **keywords: for the function, by name; pickled.

    Returns:
      What the function returned, by process: NumPy arrays, numbers, anything that can be pickled.

    Raises:
      ProcessFailedError: a process failed; the message holds what it printed.
      ProcessTimeoutError: the time was up.
      ProcessTargetError: the function or an argument cannot be sent to another process, or what it
        returned cannot be read in this one.
      ValueError: a number that is not positive, or a process to show that there is not.

    Example:
        >>> from ramie.testing import processes
        >>> processes.run("jax:device_count", processes=2, devices=2, timeout=60)
        [4, 4]

    Differs from Flax, which has nothing of the kind.
    """
    with start(
        function,
        *arguments,
        processes=processes,
        devices=devices,
        environment=environment,
        show=show,
        join_timeout=join_timeout,
        **keywords,
    ) as group:
        return group.wait(timeout)
