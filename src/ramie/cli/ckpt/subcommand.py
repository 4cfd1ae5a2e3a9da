"""What the subcommands of `ramie ckpt` share: options, exit codes, and what goes wrong."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["DIFFERS", "MISUSE", "add", "add_separator", "positive"]

DIFFERS, MISUSE = 1, 2
"""Exit codes: files differ or are damaged; something cannot be read or makes no sense."""

_INTERRUPTED = 130


def add(
    subcommands: Any, name: str, text: str, work: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """Add a subcommand that does some work, and return its parser."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        name, help=text, description=f"{text.capitalize()}."
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(call=lambda arguments: _guarded(name, work, arguments))
    return parser


def add_separator(parser: argparse.ArgumentParser) -> None:
    """Add the option of what stands between the keys in names of safetensors files."""
    parser.add_argument(
        "--separator",
        default=".",
        metavar="TEXT",
        help="stands between the keys in the names of safetensors files (default: a full stop)",
    )


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but is {text!r}")
    return number


def _guarded(
    name: str, work: Callable[[argparse.Namespace], int], arguments: argparse.Namespace
) -> int:
    """Run a subcommand, and turn what goes wrong into a line and an exit code."""
    from ramie import errors

    try:
        return work(arguments)
    except errors.MalformedDataError as error:
        code, problem = DIFFERS, str(error)
    except (errors.RamieError, OSError) as error:
        code, problem = MISUSE, str(error)
    except KeyboardInterrupt:
        code, problem = _INTERRUPTED, "interrupted"
    print(f"ramie ckpt {name}: {problem}", file=sys.stderr)
    return code
