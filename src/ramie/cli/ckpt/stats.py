"""`ramie ckpt stats`: the numbers of two checkpoints side by side."""

import argparse
from typing import Any

from ramie.cli.ckpt import subcommand
from ramie.cli.output import print_json, print_table, waiting

__all__ = ["add_parser"]

_NUMBERS = ("mean", "deviation", "norm")


def add_parser(subcommands: Any) -> None:
    """Add `stats` to the subcommands of the parser of `ramie ckpt`."""
    parser = subcommand.add(
        subcommands, "stats", "show the numbers of two checkpoints side by side", _stats
    )
    parser.add_argument("first", metavar="A", help="a file, an index, or an Orbax directory")
    parser.add_argument("second", metavar="B", help="another")
    subcommand.add_separator(parser)


def _stats(arguments: argparse.Namespace) -> int:
    from ramie import checkpoint

    with waiting() as progress:
        found = checkpoint.compare(
            arguments.first, arguments.second, separator=arguments.separator, progress=progress
        )
    if arguments.json:
        print_json([_page(item) for item in found])
        return 0
    heads = [f"{name} {side}" for name in _NUMBERS for side in "AB"]
    rows = [
        (
            "/".join(item.path) or ".",
            *(_number(side and getattr(side, name)) for name in _NUMBERS for side in item[1:3]),
            _number(item.change),
        )
        for item in found
    ]
    print_table(("path", *heads, "change"), rows, right=(*heads, "change"))
    print(f"arrays: {sum(bool(item.first and item.second) for item in found)} in both", end="")
    for side, other in (("A", "second"), ("B", "first")):
        alone = sum(getattr(item, other) is None for item in found)
        print(f", {alone} only in {side}" if alone else "", end="")
    print()
    return 0


def _page(item: Any) -> dict[str, Any]:
    sides = [None if side is None else side._asdict() for side in (item.first, item.second)]
    return {"path": item.path, "first": sides[0], "second": sides[1], "change": item.change}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
