"""`ramie ckpt show`: what is in a checkpoint."""

import argparse
import os
from typing import Any

from ramie.cli.arguments import positive
from ramie.cli.ckpt import subcommand
from ramie.cli.output import amount, print_facts, print_json, print_table, visible, waiting

__all__ = ["add_parser"]

_NUMBERS = ("min", "max", "mean", "deviation", "zeros", "not finite")
_MOST_VALUES = 8


def add_parser(subcommands: Any) -> None:
    """Add `show` to the subcommands of the parser of `ramie ckpt`."""
    parser = subcommand.add(subcommands, "show", "show what is in a checkpoint", _show)
    parser.add_argument(
        "path",
        metavar="FILE",
        help="a file, an Orbax directory, or a directory of several: the latest of these",
    )
    parser.add_argument(
        "subtree",
        metavar="SUBTREE",
        nargs="?",
        default="",
        help="only what is below these keys, as in params/encoder; of one leaf, its values",
    )
    parser.add_argument(
        "--depth",
        type=positive,
        metavar="N",
        help="tell N keys of a path apart, and sum up what is below",
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
            arguments.subtree,
            statistics=arguments.stats,
            separator=arguments.separator,
            progress=progress,
        )
    leaves: list[Any] = found.outline.leaves
    if arguments.depth:
        leaves = list(checkpoint.collapse(leaves, arguments.depth))
    if arguments.json:
        print_json(_page(found, leaves))
        return 0
    if os.path.normpath(arguments.path) != os.path.normpath(found.outline.path):
        print(f"the latest: {visible(found.outline.path)}")
    wanted = arguments.subtree.strip("/")
    if wanted and [wanted] == ["/".join(leaf.path) for leaf in leaves]:
        print_facts(_one_leaf(leaves[0], found))
        return 0
    print_table(
        ("path", "type", "shape", "leaves", "elements", "size", "value", *_NUMBERS),
        [_row(item, found.statistics) for item in leaves],
        right=("leaves", "elements", "size", *_NUMBERS),
    )
    for name, text in found.outline.metadata.items():
        print(f"metadata {visible(name)}: {visible(text[:200])}")
    print(
        f"arrays: {found.n_arrays} with {found.n_elements:,} elements, {amount(found.nbytes)}; "
        f"on disk: {found.outline.form}, {amount(found.outline.nbytes)}"
    )
    return 0


def _page(found: Any, leaves: list[Any]) -> dict[str, Any]:
    return {
        "path": found.outline.path,
        "format": found.outline.form,
        "file_bytes": found.outline.nbytes,
        "arrays": found.n_arrays,
        "elements": found.n_elements,
        "array_bytes": found.nbytes,
        "metadata": found.outline.metadata,
        "leaves": [_item_page(item, found) for item in leaves],
    }


def _item_page(item: Any, found: Any) -> dict[str, Any]:
    if not hasattr(item, "kind"):
        page = {"path": list(item.path), "leaves": item.n_leaves, "arrays": item.n_arrays}
        return page | {"elements": item.n_elements, "bytes": item.nbytes}
    page = {"path": list(item.path), "type": item.kind}
    if item.is_array:
        page |= {"shape": list(item.shape), "bytes": item.nbytes}
    else:
        page |= {"value": item.value}
    if item.path in found.statistics:
        page |= {"statistics": found.statistics[item.path]._asdict()}
    if found.array is not None:
        page |= {"first_values": _first_values(found.array)}
    return page


def _row(item: Any, statistics: Any) -> tuple[Any, ...]:
    path = "/".join(item.path) or "."
    if not hasattr(item, "kind"):
        sums: tuple[Any, ...] = (item.n_leaves, "", "")
        if item.n_arrays:
            sums = (item.n_leaves, f"{item.n_elements:,}", amount(item.nbytes))
        return (f"{path}/", "", "", *sums, "", *[""] * 6)
    if not item.is_array:
        return (path, item.kind, "", "", "", "", _short(repr(item.value)), *[""] * 6)
    numbers = [""] * 6
    if found := statistics.get(item.path):
        numbers = [f"{number:.4g}" for number in found[:4]]
        numbers += [str(found.zeros or ""), str(found.not_finite or "")]
    return (path, _kind(item), str(list(item.shape)), "", "", amount(item.nbytes), "", *numbers)


def _one_leaf(leaf: Any, found: Any) -> list[tuple[str, Any]]:
    """Return lines about one leaf: what it is, what its numbers are like, and the first ones."""
    rows: list[tuple[str, Any]] = [("path", "/".join(leaf.path)), ("type", _kind(leaf))]
    if not leaf.is_array:
        return [*rows, ("value", repr(leaf.value))]
    rows += [("shape", list(leaf.shape)), ("size", amount(leaf.nbytes))]
    if numbers := found.statistics.get(leaf.path):
        counts = {"zeros": numbers.zeros, "NaN": numbers.nans}
        counts["infinite"] = numbers.not_finite - numbers.nans
        reals = {"mean": numbers.mean, "deviation": numbers.deviation}
        reals |= {"min": numbers.minimum, "max": numbers.maximum, "norm": numbers.norm}
        rows += [(name, f"{number:.6g}") for name, number in reals.items()]
        rows += [(name, count) for name, count in counts.items()]
    first = ", ".join(map(_value, _first_values(found.array)))
    return [*rows, ("values", first + (", ..." if found.array.size > _MOST_VALUES else ""))]


def _first_values(array: Any) -> list[Any]:
    values: list[Any] = array.reshape(-1)[:_MOST_VALUES].tolist()
    return values


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _kind(leaf: Any) -> str:
    return leaf.kind if leaf.note in ("", "scalar") or not leaf.is_array else f"{leaf.note} keys"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
