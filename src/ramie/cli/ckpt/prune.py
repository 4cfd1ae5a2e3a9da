"""`ramie ckpt prune`: all but the newest checkpoints go."""

import argparse
import os
from typing import Any

from ramie.cli.arguments import positive
from ramie.cli.ckpt import subcommand
from ramie.cli.ckpt.nothing import nothing_found
from ramie.cli.failures import say
from ramie.cli.output import print_json, print_table, waiting

__all__ = ["add_parser"]


def add_parser(subcommands: Any) -> None:
    """Add `prune` to the subcommands of the parser of `ramie ckpt`."""
    parser = subcommand.add(subcommands, "prune", "remove all but the newest checkpoints", _prune)
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--keep", type=positive, required=True, metavar="N", help="how many stay")
    parser.add_argument(
        "--keep-every",
        dest="keep_every_n_steps",
        type=positive,
        metavar="N",
        help="let one in N steps stay besides",
    )
    parser.add_argument(
        "--prefix", default="checkpoint_", help="what names start with (default: checkpoint_)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def _prune(arguments: argparse.Namespace) -> int:
    from ramie import checkpoint

    with waiting():
        found = checkpoint.prune(
            arguments.directory,
            arguments.keep,
            prefix=arguments.prefix,
            keep_every_n_steps=arguments.keep_every_n_steps,
            dry_run=arguments.dry_run,
        )
    nothing = "" if any(found) else nothing_found(arguments.directory, arguments.prefix)
    if arguments.json:
        print_json({"dry_run": arguments.dry_run, **found._asdict(), "problem": nothing})
        return 0
    fate = "would be removed" if arguments.dry_run else "removed"
    rows = [(os.path.basename(path), fate) for path in found.removed]
    rows += [(os.path.basename(path), "damaged, stays") for path in found.damaged]
    rows += [(os.path.basename(path), "stays") for path in found.kept]
    if rows:
        print_table(("name", "what"), rows)
    else:
        say(arguments.parser, nothing)
    return 0
