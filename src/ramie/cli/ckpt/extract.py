"""`ramie ckpt extract`: a subtree into a file of its own."""

import argparse
from typing import Any

from ramie.cli.ckpt import subcommand
from ramie.cli.output import print_json, visible, waiting

__all__ = ["add_parser"]


def add_parser(subcommands: Any) -> None:
    """Add `extract` to the subcommands of the parser of `ramie ckpt`."""
    parser = subcommand.add(
        subcommands, "extract", "write a subtree of a checkpoint into a file of its own", _extract
    )
    parser.add_argument("source", metavar="IN", help="a file, an index, or an Orbax directory")
    parser.add_argument(
        "subtree",
        metavar="SUBTREE",
        help="the keys that lead to it, as in params/encoder; it becomes the root of OUT",
    )
    parser.add_argument("destination", metavar="OUT", help=subcommand.OUT)
    subcommand.add_writing(parser)


def _extract(arguments: argparse.Namespace) -> int:
    from ramie import checkpoint

    with waiting() as progress:
        path = checkpoint.extract(
            arguments.source,
            arguments.destination,
            arguments.subtree,
            progress=progress,
            **subcommand.writing(arguments),
        )
    print_json({"path": path}) if arguments.json else print(visible(path))
    return 0
