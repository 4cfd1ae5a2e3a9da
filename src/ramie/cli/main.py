"""The entry point of the `ramie` command."""

import argparse
import sys
from collections.abc import Sequence

from ramie.cli import completion, failures, streams
from ramie.cli import demo_command as demo
from ramie.cli.ckpt import group as ckpt
from ramie.cli.command import command_name
from ramie.cli.plan import command as plan
from ramie.foundation.version import __version__

__all__ = ["main", "make_parser"]


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    parser = failures.Parser(
        prog="ramie",
        description="Ramie: the Flax programming model for JAX, on one small core.",
        epilog=f"`{command_name()} COMMAND --help` tells more about a command.",
    )
    parser.add_argument("--version", action="version", version=f"ramie {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    ckpt.add_parser(commands)
    plan.add_parser(commands)
    demo.add_parser(commands)
    completion.add_parser(commands, parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `ramie` command.

    Args:
        argv: The arguments after the program's name; those of the process by default.

    Returns:
        The exit code: 0 for success, 1 for failure, 2 for misuse, 130 when interrupted, 141 when
        nobody reads the output any more.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    parser = current = make_parser()

    def work() -> int:
        nonlocal current
        arguments = parser.parse_args(words)
        if not hasattr(arguments, "call"):
            parser.print_help(sys.stderr)
            return failures.MISUSE
        current = getattr(arguments, "parser", parser)
        code: int = arguments.call(arguments)
        return code

    with streams.tolerant_streams():
        return failures.guarded(work, lambda: current, as_json="--json" in words)
