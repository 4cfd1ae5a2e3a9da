"""The entry point of the `ramie` command."""

import argparse
import sys
from collections.abc import Sequence

from ramie.cli import demo_command as demo
from ramie.cli.ckpt import group as ckpt
from ramie.foundation.version import __version__

__all__ = ["main", "make_parser"]

_MISUSE = 2


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="ramie",
        description="Ramie: the Flax programming model for JAX, on one small core.",
        epilog="`ramie COMMAND --help` tells more about a command.",
    )
    parser.add_argument("--version", action="version", version=f"ramie {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    ckpt.add_parser(commands)
    demo.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `ramie` command.

    Args:
        argv: The arguments after the program's name; those of the process by default.

    Returns:
        The exit code: 0 for success, 1 for failure, 2 for misuse, 130 when interrupted.
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if not hasattr(arguments, "call"):
        parser.print_help(sys.stderr)
        return _MISUSE
    code: int = arguments.call(arguments)
    return code
