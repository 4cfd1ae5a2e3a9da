"""`ramie ckpt rename`: other paths for leaves, by a pattern; a preview unless told where to."""

import argparse
from typing import Any

from ramie.cli.ckpt import subcommand
from ramie.cli.output import print_json, print_table, visible, waiting

__all__ = ["add_parser"]


def add_parser(subcommands: Any) -> None:
    """Add `rename` to the subcommands of the parser of `ramie ckpt`."""
    parser = subcommand.add(
        subcommands,
        "rename",
        "show which leaves a pattern renames, or write them renamed into a new file",
        _rename,
    )
    parser.add_argument("source", metavar="IN", help="a file, an index, or an Orbax directory")
    parser.add_argument(
        "pattern",
        metavar="PATTERN",
        help="a regular expression of Python, for paths such as params/Dense_0/kernel",
    )
    parser.add_argument(
        "replacement",
        metavar="NEW",
        help=r"replaces what the pattern matches; \1 is its first group",
    )
    parser.add_argument(
        "--output",
        dest="destination",
        metavar="OUT",
        help=f"write this new file ({subcommand.OUT}); without it nothing is written",
    )
    subcommand.add_writing(parser)


def _rename(arguments: argparse.Namespace) -> int:
    from ramie import checkpoint

    with waiting() as progress:
        found = checkpoint.rename(
            arguments.source,
            arguments.pattern,
            arguments.replacement,
            destination=arguments.destination,
            progress=progress,
            **subcommand.writing(arguments),
        )
    if arguments.json:
        print_json(found._asdict())
        return 0
    print_table(("path", "becomes"), [tuple(map("/".join, pair)) for pair in found.changed])
    print(f"leaves: {len(found.changed)} renamed, {found.n_same} not")
    if found.path is None:
        print("nothing was written; say --output OUT to write them into a new file")
    else:
        print(visible(found.path))
    return 0
