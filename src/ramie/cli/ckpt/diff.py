"""`ramie ckpt diff`: two checkpoints leaf by leaf."""

import argparse
from typing import Any

from ramie.cli.ckpt import subcommand
from ramie.cli.failures import DIFFERS
from ramie.cli.output import print_json, print_table, waiting

__all__ = ["add_parser"]


def add_parser(subcommands: Any) -> None:
    """Add `diff` to the subcommands of the parser of `ramie ckpt`."""
    parser = subcommand.add(subcommands, "diff", "compare two checkpoints leaf by leaf", _diff)
    parser.add_argument("first", metavar="A")
    parser.add_argument("second", metavar="B")
    subcommand.add_separator(parser)


def _diff(arguments: argparse.Namespace) -> int:
    from ramie import checkpoint

    with waiting() as progress:
        found = checkpoint.diff(
            arguments.first, arguments.second, separator=arguments.separator, progress=progress
        )
    if arguments.json:
        changed = [change._asdict() for change in found.changed]
        print_json({"same": found.same, **found._asdict(), "changed": changed})
        return 0 if found.same else DIFFERS
    rows: list[tuple[Any, ...]] = []
    for path in found.only_first:
        rows.append(("/".join(path), "only in A", *[""] * 5))
    for path in found.only_second:
        rows.append(("/".join(path), "only in B", *[""] * 5))
    for change in found.changed:
        numbers = [
            "" if number is None else f"{number:.4g}" for number in (change.largest, change.mean)
        ]
        counted = "" if change.n_different is None else str(change.n_different)
        second = "" if change.second == change.first else change.second
        rows.append(
            ("/".join(change.path) or ".", "differs", change.first, second, counted, *numbers)
        )
    if rows:
        print_table(
            ("path", "what", "A", "B", "elements", "largest", "mean"),
            rows,
            right=("elements", "largest", "mean"),
        )
    print(f"leaves: {found.n_same} the same, {len(rows)} not")
    return 0 if found.same else DIFFERS
