"""`ramie ckpt show`: what is in a checkpoint."""

import argparse
import os
from typing import Any

from ramie.cli.ckpt import subcommand
from ramie.cli.output import amount, print_json, print_table, visible, waiting

__all__ = ["add_parser"]

_NUMBERS = ("min", "max", "mean", "deviation", "zeros", "not finite")


def add_parser(subcommands: Any) -> None:
    """Add `show` to the subcommands of the parser of `ramie ckpt`."""
    parser = subcommand.add(subcommands, "show", "show what is in a checkpoint", _show)
    parser.add_argument(
        "path",
        metavar="FILE",
        help="a file, an Orbax directory, or a directory of several: the latest of these",
    )
    parser.add_argument(
        "--stats", action="store_true", help="read the arrays, and say what their numbers are like"
    )
    subcommand.add_separator(parser)


def _show(arguments: argparse.Namespace) -> int:
    from ramie import checkpoint

    with waiting() as progress:
        found = checkpoint.describe(
            arguments.path,
            statistics=arguments.stats,
            separator=arguments.separator,
            progress=progress,
        )
    leaves = found.outline.leaves
    if arguments.json:
        print_json(
            {
                "path": found.outline.path,
                "format": found.outline.form,
                "file_bytes": found.outline.nbytes,
                "arrays": found.n_arrays,
                "elements": found.n_elements,
                "array_bytes": found.nbytes,
                "metadata": found.outline.metadata,
                "leaves": [_leaf_page(leaf, found.statistics.get(leaf.path)) for leaf in leaves],
            }
        )
        return 0
    if os.path.normpath(arguments.path) != os.path.normpath(found.outline.path):
        print(f"the latest: {visible(found.outline.path)}")
    print_table(
        ("path", "type", "shape", "size", "value", *_NUMBERS),
        [_leaf_row(leaf, found.statistics.get(leaf.path)) for leaf in leaves],
        right=("size", *_NUMBERS),
    )
    for name, text in found.outline.metadata.items():
        print(f"metadata {visible(name)}: {visible(text[:200])}")
    print(
        f"arrays: {found.n_arrays} with {found.n_elements:,} elements, {amount(found.nbytes)}; "
        f"on disk: {found.outline.form}, {amount(found.outline.nbytes)}"
    )
    return 0


def _leaf_page(leaf: Any, statistics: Any) -> dict[str, Any]:
    page = {"path": list(leaf.path), "type": leaf.kind}
    if leaf.is_array:
        page |= {"shape": list(leaf.shape), "bytes": leaf.nbytes}
    else:
        page |= {"value": leaf.value}
    return page | ({"statistics": statistics._asdict()} if statistics else {})


def _leaf_row(leaf: Any, statistics: Any) -> tuple[Any, ...]:
    path = "/".join(leaf.path) or "."
    if not leaf.is_array:
        text = repr(leaf.value)
        return (path, leaf.kind, "", "", _short(text), *[""] * 6)
    numbers = [""] * 6
    if statistics:
        numbers = [f"{number:.4g}" for number in statistics[:4]]
        numbers += [str(statistics.zeros or ""), str(statistics.not_finite or "")]
    kind = leaf.kind if leaf.note in ("", "scalar") else f"{leaf.note} keys"
    return (path, kind, str(list(leaf.shape)), amount(leaf.nbytes), "", *numbers)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
