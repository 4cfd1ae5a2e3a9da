"""The parser of `ramie ckpt` and of all its subcommands."""

import argparse
import sys
from typing import Any

from ramie.cli.ckpt import (
    convert,
    diff,
    extract,
    ls,
    prune,
    rename,
    rm,
    show,
    stats,
    verify,
)
from ramie.cli.failures import MISUSE

__all__ = ["add_parser"]

_SUBCOMMANDS = (ls, show, verify, diff, stats, convert, extract, rename, prune, rm)


def add_parser(commands: Any) -> None:
    """Add `ckpt` and its subcommands to the commands of the `ramie` parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ckpt",
        help="look at checkpoints, verify, compare, convert and remove them",
        description="Look at checkpoints of Ramie, Flax and Orbax, and at safetensors files.",
        epilog="Exit codes: 0 fine, 1 differs or damaged, 2 unreadable or misused.",
    )
    subcommands = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND")
    parser.set_defaults(call=lambda arguments: _show_usage(parser), parser=parser)
    for module in _SUBCOMMANDS:
        module.add_parser(subcommands)


def _show_usage(parser: argparse.ArgumentParser) -> int:
    parser.print_help(sys.stderr)
    return MISUSE
