"""Mistakes with serialized data and with the checkpoint engine, beyond the documented ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ramie.errors.base import RamieError

__all__ = [
    "CheckpointBusyError",
    "CheckpointNotFoundError",
    "CheckpointOptionError",
    "MalformedDataError",
    "UnsupportedCheckpointError",
]


class MalformedDataError(RamieError, ValueError):
    """Bytes that should hold a saved tree do not: they are cut short, damaged, or no such file.

    Args:
        problem: What is wrong, as a sentence without the full stop.
        path: Where in the tree, as in ``./params/kernel``.
        offset: The byte at which it was noticed.
        source: The file, when it is one.
    """

    def __init__(
        self, problem: str, path: str = ".", offset: int | None = None, source: str | None = None
    ) -> None:
        self.problem, self.path, self.offset, self.source = problem, path, offset, source
        where = f" at path {path}" + ("" if offset is None else f", byte {offset}")
        subject = "the serialized data" if source is None else f'the file "{source}"'
        super().__init__(
            f"Cannot read {subject}: {problem}{where}. It was damaged, cut short, or not written "
            "by msgpack_serialize; restore another copy or an earlier checkpoint."
        )


class CheckpointNotFoundError(RamieError, ValueError):
    """A checkpoint is asked for by its step, and there is none.

    Args:
        directory: Where it was looked for.
        name: The name it would have.
        available: The names that are there.
    """

    def __init__(self, directory: str, name: str, available: Sequence[str] = ()) -> None:
        last = ", ".join(available[-5:])
        there = f"The latest there are {last}" if available else "There is none at all"
        super().__init__(
            f'No checkpoint {name!r} in "{directory}". {there}. Leave out `step` to restore the '
            "latest."
        )


class CheckpointOptionError(RamieError, ValueError):
    """A prefix, a step or a retention setting that no checkpoint can be saved or found with.

    Args:
        option: The parameter, as in ``prefix``.
        value: What was given.
        reason: What is wrong with it, to be read after "because".
    """

    def __init__(self, option: str, value: Any, reason: str) -> None:
        super().__init__(f"The {option} {value!r} cannot be used, because {reason}.")


class CheckpointBusyError(RamieError, TimeoutError):
    """Another writer held the checkpoint directory for too long.

    Args:
        directory: The directory.
        seconds: How long this writer waited.
    """

    def __init__(self, directory: str, seconds: float) -> None:
        super().__init__(
            f'Another process has been committing to "{directory}" for {seconds:g} seconds. Give '
            "each writer its own directory, or end the process that hangs."
        )


class UnsupportedCheckpointError(RamieError, NotImplementedError):
    """A documented way of saving or restoring is asked for that this release cannot do yet.

    Args:
        what: The parameter, format or setting, to be read as the subject of a sentence.
        instead: What to do, as a sentence.
    """

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what} is not supported yet. {instead}")
