"""Mistakes of programs that run in several processes."""

from __future__ import annotations

from collections.abc import Sequence

from ramie.errors.base import RamieError

__all__ = ["ProcessFailedError", "ProcessTargetError", "ProcessTimeoutError"]


class ProcessTargetError(RamieError, ValueError):
    """What was to run in several processes cannot be found or sent there.

    A new process imports the function by its name, so that it has to stand at the top level of a
    module, and its arguments are pickled.

    Args:
        message: Which function or argument, what is wrong with it, and what to do.
    """


class ProcessFailedError(RamieError, RuntimeError):
    """A process of a group ended with an error, or was killed.

    Args:
        index: Which process, from 0.
        count: How many there are.
        target: The function that ran.
        how: How it ended, to be read after "process 1 of 2".
        output: The end of what it printed.
        others: What became of the others, as a sentence; may be empty.
    """

    def __init__(
        self, index: int, count: int, target: str, how: str, output: str, others: str = ""
    ) -> None:
        said = f"It printed last:\n{output}" if output else "It printed nothing that was kept."
        super().__init__(
            f"{target}: process {index} (of {count}, counted from 0) {how}. "
            f"{others + ' ' if others else ''}{said}"
        )
        self.index = index


class ProcessTimeoutError(RamieError, TimeoutError):
    """Processes of a group did not end in time; all were stopped.

    Often one waits for another in a collective operation that the other does not reach.

    Args:
        indices: Those that were still running, from 0.
        count: How many there are.
        target: The function that ran.
        seconds: How long they had.
        output: The end of what the first of them printed.
        returned: Those of them in which the function had returned.
    """

    def __init__(
        self,
        indices: Sequence[int],
        count: int,
        target: str,
        seconds: float,
        output: str,
        returned: Sequence[int] = (),
    ) -> None:
        names = f"{'process' if len(indices) == 1 else 'processes'} {', '.join(map(str, indices))}"
        verb = "was" if len(indices) == 1 else "were"
        reason = "Every process has to reach the same collective operations"
        if returned:
            reason = (
                f"The function had returned in {', '.join(map(str, returned))}: what keeps a "
                "process from ending then is a thread that is no daemon, or another process that "
                "it waits for"
            )
        said = f"Process {indices[0]} printed last:\n{output}" if output else ""
        super().__init__(
            f"{target}: after {seconds:g} s, {names} of {count} (counted from 0) {verb} still "
            f"running, and all were stopped. {reason}; `timeout=` gives them more time. "
            f"{said}".rstrip()
        )
        self.indices = tuple(indices)
