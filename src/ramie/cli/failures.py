"""What goes wrong: one line and an exit code for every failure that can be expected."""

import argparse
import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

from ramie.cli.advice import in_words_of, misuse
from ramie.cli.output import print_json, visible
from ramie.cli.streams import discard_output

__all__ = [
    "CLOSED",
    "DIFFERS",
    "INTERRUPTED",
    "MISUSE",
    "Failure",
    "Parser",
    "Told",
    "Usage",
    "explain",
    "guarded",
    "say",
]

DIFFERS, MISUSE, INTERRUPTED, CLOSED = 1, 2, 130, 141
"""Exit codes: files differ or are damaged; something cannot be read, written or understood; the
user or the reader of a pipe has gone."""

_TEMPORARY = ".ramie-tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Failure(NamedTuple):
    """What is said of an error.

    Attributes:
      code: the exit code.
      kind: one or two words that scripts can rely on.
      problem: one line for people.
    """

    code: int
    kind: str
    problem: str


class Told(Exception):
    """A failure that the command itself has found words for."""

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(problem)
        self.failure = Failure(MISUSE, kind, problem)


class Usage(Exception):
    """The words of a command make no sense."""

    def __init__(self, parser: argparse.ArgumentParser, problem: str) -> None:
        super().__init__(problem)
        self.parser = parser


class Parser(argparse.ArgumentParser):
    """A parser whose errors are told by `guarded`, as JSON where that is asked for.

    Options may stand anywhere, also before an argument that can be left out.
    """

    _is_mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as `argparse` does; it would not find such an argument behind an option."""
        may_lack = any(action.nargs == "?" for action in self._get_positional_actions())
        if self._is_mixing or not may_lack:
            return super().parse_known_args(args, namespace)
        self._is_mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_mixing = False

    def error(self, message: str) -> NoReturn:
        """Raise instead of ending the program."""
        raise Usage(self, message)


def explain(error: BaseException, parser: argparse.ArgumentParser) -> Failure | None:
    """Say what is wrong; None of an error that nobody expects, which is a mistake of ours."""
    from ramie import errors

    def told(kind: str, code: int = MISUSE) -> Failure:
        return Failure(code, kind, in_words_of(parser, str(error)))

    match error:
        case KeyboardInterrupt():
            return Failure(INTERRUPTED, "interrupted", "interrupted")
        case Told():
            problem = " ".join(visible(line.strip()) for line in str(error).splitlines())
            return error.failure._replace(problem=problem)
        case errors.ForeignFileError():
            return told("foreign")
        case errors.IncompleteCheckpointError():
            return told("incomplete", DIFFERS)
        case errors.MalformedDataError():
            return told("damaged", DIFFERS)
        case errors.CheckpointOptionError():
            problem = misuse(parser, error.option, error.value, error.reason)
            return Failure(MISUSE, "misuse", problem)
        case errors.CheckpointNotFoundError():
            return told("not found")
        case errors.CheckpointBusyError():
            return told("busy")
        case errors.FormatLimitError() | errors.UnsupportedCheckpointError():
            return told("unsupported")
        case ImportError():
            return told("missing package")
        case errors.RamieError():
            return told("refused")
        case OSError():
            return Failure(MISUSE, _kind_of(error), in_words_of(parser, _of_system(error)))
        case MemoryError():
            return Failure(MISUSE, "memory", "there is not enough memory")
    return None


def _kind_of(error: OSError) -> str:
    if error.errno in _FULL:
        return "disk full"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return "permission denied"
    return "not found" if isinstance(error, FileNotFoundError) else "system"


def _of_system(error: OSError) -> str:
    if error.errno is None or error.strerror is None:
        return str(error)
    given = [
        place for place in (error.filename, error.filename2) if isinstance(place, (str, bytes))
    ]
    places = " and ".join(dict.fromkeys(f'"{_visible_place(place)}"' for place in given))
    return f"{places}: {error.strerror}" if places else error.strerror


def _visible_place(place: str | bytes) -> str:
    """Return a path; of a temporary file that in which it was, since it is gone."""
    folder, name = os.path.split(os.fsdecode(place))
    return folder if name.startswith(_TEMPORARY) else os.path.join(folder, name)


def guarded(
    work: Callable[[], int], parser: Callable[[], argparse.ArgumentParser], *, as_json: bool
) -> int:
    """Do some work, and turn what goes wrong into a line, or a page of JSON, and an exit code.

    Args:
      work: what to do; returns the exit code.
      parser: gives the parser of the command, for its name and its words.
      as_json: whether failures are told as JSON.
    """
    try:
        try:
            code = work()
        finally:
            sys.stdout.flush()  # here, where a failure can still be told
        return code
    except BrokenPipeError:
        discard_output()
        return CLOSED
    except Usage as usage:
        _tell(usage.parser, Failure(MISUSE, "misuse", str(usage)), as_json, with_usage=True)
        raise SystemExit(MISUSE) from None  # as `argparse` does
    except (Exception, KeyboardInterrupt) as error:
        failure = explain(error, parser())
        if failure is None:
            raise
        _tell(parser(), failure, as_json)
        return failure.code


def say(parser: argparse.ArgumentParser, problem: str) -> None:
    """Print a line about a command where people look and scripts do not."""
    print(f"{parser.prog}: {problem}", file=sys.stderr)


def _tell(
    parser: argparse.ArgumentParser, failure: Failure, as_json: bool, *, with_usage: bool = False
) -> None:
    try:
        if as_json:
            print_json({"error": failure.problem, "kind": failure.kind})
        sys.stdout.flush()
    except OSError:
        discard_output()
        as_json = False
    if as_json:
        return
    with suppress(OSError):
        if with_usage:
            parser.print_usage(sys.stderr)
        say(parser, failure.problem)
