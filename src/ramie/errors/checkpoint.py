"""Mistakes with serialized data and with the checkpoint engine, beyond the documented ones."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import Any

from ramie.errors.base import RamieError

__all__ = [
    "CheckpointBusyError",
    "CheckpointMismatchError",
    "CheckpointNotFoundError",
    "CheckpointOptionError",
    "DamagedCheckpointError",
    "ForeignFileError",
    "FormatLimitError",
    "IncompleteCheckpointError",
    "MalformedDataError",
    "MetricNotFoundError",
    "UnsupportedCheckpointError",
]


class MalformedDataError(RamieError, ValueError):
    """Bytes that should hold a saved tree do not: they are cut short, damaged, or no such file.

    Args:
        problem: What is wrong, as a sentence without the full stop.
        path: Where in the tree, as in ``./params/kernel``.
        offset: The byte at which it was noticed.
        source: The file, when it is one.
        writer: What writes such data.
    """

    def __init__(
        self,
        problem: str,
        path: str = ".",
        offset: int | None = None,
        source: str | None = None,
        writer: str = "msgpack_serialize",
    ) -> None:
        self.problem, self.path, self.offset, self.source = problem, path, offset, source
        where = f" at path {path}" + ("" if offset is None else f", byte {offset}")
        subject = "the serialized data" if source is None else f'the file "{source}"'
        super().__init__(
            f"Cannot read {subject}: {problem}{where}. It was damaged, cut short, or not written "
            f"by {writer}; restore another copy or an earlier checkpoint."
        )


class DamagedCheckpointError(MalformedDataError):
    """A checkpoint file is not what was saved: its checksums differ from those in its manifest.

    Args:
        source: The file.
        ranges: Pairs of first byte and byte after the last, between which the damage is.
        intact: The newest checkpoint of the directory that is undamaged, when one was looked for.

    Attributes:
        source: The file.
        ranges: As given.
        intact: The path of the newest undamaged checkpoint, or None.
    """

    def __init__(
        self, source: str, ranges: Sequence[tuple[int, int]], intact: str | None = None
    ) -> None:
        self.problem, self.path, self.offset = "its checksums differ", ".", ranges[0][0]
        self.source, self.ranges, self.intact = source, tuple(ranges), intact
        spans = ", ".join(f"{start} to {end}" for start, end in ranges[:4])
        more = " and others" if len(ranges) > 4 else ""
        RamieError.__init__(
            self,
            f'The checkpoint "{source}" is damaged: it is not what was saved, in the bytes '
            f"{spans}{more}. "
            + (
                f'The newest undamaged checkpoint is "{intact}": restore that one, or remove what '
                "is damaged to go on from there."
                if intact
                else "Restore another checkpoint, or a backup of this one."
            ),
        )


class IncompleteCheckpointError(MalformedDataError):
    """The index of several safetensors files, or the page about a step, promises what is not there.

    What is there is not damaged. ``load_safetensors(path, partial=True)`` reads it, and ``convert``
    with ``partial=True`` writes it anew; of a step each item can be read by its path.

    Args:
        source: The index, or the directory of the step.
        lacks: What is missing or not listed, a line each.
        instead: What to do, as a sentence.

    Attributes:
        source, lacks: as given.
    """

    def __init__(
        self,
        source: str,
        lacks: Sequence[str],
        instead: str = "Fetch its files once more, or read what is there with "
        "load_safetensors(path, partial=True).",
    ) -> None:
        self.problem, self.path, self.offset = "; ".join(lacks[:4]), ".", None
        self.source, self.lacks = source, list(lacks)
        more = f"; and {len(lacks) - 4} more" if len(lacks) > 4 else ""
        RamieError.__init__(
            self,
            f'The checkpoint "{source}" is incomplete: {self.problem}{more}. {instead}',
        )


class ForeignFileError(MalformedDataError):
    """A file is in order, as far as one can see, and no checkpoint: another program made it.

    Args:
        source: The file.
        kind: What it is, to be read after "is".
        instead: What to do, as a sentence.

    Attributes:
        source, kind: as given.
    """

    def __init__(self, source: str, kind: str, instead: str) -> None:
        self.problem, self.path, self.offset = f"it is {kind}", ".", None
        self.source, self.kind = source, kind
        RamieError.__init__(self, f'The file "{source}" is {kind}, and no checkpoint. {instead}')


class CheckpointMismatchError(RamieError, ValueError):
    """A checkpoint does not fit what it is restored into; says everything that differs.

    Args:
        source: The file.
        missing: Paths that the target has and the file lacks.
        extra: Paths that the file has and the target lacks.
        shapes: Lines with a path, the shape wanted and the shape found.
        dtypes: Lines with a path, the dtype wanted and the dtype found.
        kinds: Lines with a path where one has a container and the other a leaf.
        types: Lines with a path where one has a number or an array, and the other none.

    Attributes:
        source, missing, extra, shapes, dtypes, kinds, types: as given.
        listed: All of these, one a line.
    """

    def __init__(
        self,
        source: str,
        missing: Sequence[str] = (),
        extra: Sequence[str] = (),
        shapes: Sequence[str] = (),
        dtypes: Sequence[str] = (),
        kinds: Sequence[str] = (),
        types: Sequence[str] = (),
    ) -> None:
        self.source = source
        self.missing, self.extra = list(missing), list(extra)
        self.shapes, self.dtypes, self.kinds = list(shapes), list(dtypes), list(kinds)
        self.types = list(types)
        sections = (
            ("missing from the file", self.missing),
            ("in the file only", self.extra),
            ("of another shape", self.shapes),
            ("of another dtype", self.dtypes),
            ("of another type", self.types),
            ("of another structure", self.kinds),
        )
        self.listed = "".join(
            f"\n  {title}:" + "".join(f"\n    {line}" for line in lines)
            for title, lines in sections
            if lines
        )
        super().__init__(
            f'The checkpoint "{source}" does not fit the target:{self.listed}\n'
            "Restore into a target of the saved structure, or with target=None to get nested dicts "
            "of everything in the file, and take from them what fits."
        )


class CheckpointNotFoundError(RamieError, ValueError):
    """A checkpoint is asked for by its step or its path, and there is none.

    Args:
        directory: Where it was looked for.
        name: The name it would have.
        available: The names of checkpoints that are there; None if it was asked for by its path.
        hint: What to do; by default, to leave out the step or, if none is there, what to check.
    """

    def __init__(
        self, directory: str, name: str, available: Sequence[str] | None = (), hint: str = ""
    ) -> None:
        if available is None:
            folder = directory or "."
            hint = "There is no such directory either."
            if os.path.isdir(folder) or "://" in folder:
                hint = f"`ramie ckpt ls {shlex.quote(folder)}` lists the checkpoints there."
            super().__init__(f'There is no {name!r} in "{folder}". {hint}')
            return
        last = ", ".join(available[-5:])
        there = f"The latest there: {last}" if available else "There is none at all"
        if not hint:
            hint = "Leave out `step` to restore the latest." if available else _CHECKS
        super().__init__(
            f"Matching checkpoint not found: {os.path.join(directory, name)}. {there}. {hint}"
        )


_CHECKS = "Check the path and the prefix."


class CheckpointOptionError(RamieError, ValueError):
    """A prefix, a step or a retention setting that no checkpoint can be saved or found with.

    Args:
        option: The parameter, as in ``prefix``.
        value: What was given.
        reason: What is wrong with it, to be read after "because".

    Attributes:
        option, value, reason: as given.
    """

    def __init__(self, option: str, value: Any, reason: str) -> None:
        self.option, self.value, self.reason = option, value, reason
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


class MetricNotFoundError(RamieError, ValueError):
    """A metric decides which checkpoint is best, and it was not measured.

    Args:
        group: The group of the metric.
        metric: Its label.
        missing: Which of the two is not there: "group" or "metric".
        place: Where it was looked for.
        available: The groups, or the metrics of the group, that are there.
    """

    def __init__(
        self, group: str, metric: str, missing: str, place: str, available: Sequence[str] = ()
    ) -> None:
        name = group if missing == "group" else metric
        there = ", ".join(map(repr, available)) or "none"
        super().__init__(
            f"There is no {missing} {name!r} in {place}, so {group}/{metric} is not known. "
            f"Those that are there: {there}."
        )


class FormatLimitError(RamieError, ValueError):
    """A file format has no place for something that is to be written.

    Args:
        form: The format.
        what: What it cannot hold, to be read after "hold".
        path: Where in the tree.
        instead: What to do, as a sentence without the full stop.
    """

    def __init__(self, form: str, what: str, path: str, instead: str) -> None:
        where = f" at {path}" if path else ""
        article = "An" if form[0] in "AEIO" else "A"
        super().__init__(f"{article} {form} file cannot hold {what}{where}. {instead}.")


class UnsupportedCheckpointError(RamieError, NotImplementedError):
    """A documented way of saving or restoring is asked for that this release cannot do yet.

    Args:
        what: The parameter, format or setting, to be read as the subject of a sentence.
        instead: What to do, as a sentence.
    """

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what} is not supported yet. {instead}")
