"""`ramie ckpt`: look at checkpoints, compare, convert and remove them.

Exit codes: 0 if all is well, 1 if files differ or are damaged, 2 if something cannot be read or
makes no sense, 130 when interrupted. Only `convert` writes, and only `prune` removes.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from ramie.cli.output import amount, duration, print_json, print_table, visible, waiting

__all__ = ["add_parser"]

_OTHER_FILES = (".safetensors", ".safetensors.index.json")
_NUMBERS = ("min", "max", "mean", "deviation", "zeros", "not finite")
_DIFFERS, _UNREADABLE, _INTERRUPTED = 1, 2, 130

Arguments = argparse.Namespace


def add_parser(commands: Any) -> None:
    """Add `ckpt` and its subcommands to the commands of the `ramie` parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ckpt",
        help="look at checkpoints, verify, compare, convert and remove them",
        description="Look at checkpoints of Ramie, Flax and Orbax, and at safetensors files.",
        epilog="Exit codes: 0 fine, 1 differs or damaged, 2 unreadable or misused.",
    )
    subcommands = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND")
    parser.set_defaults(call=lambda arguments: _show_usage(parser))
    _add_ls(subcommands)
    _add_show(subcommands)
    _add_verify(subcommands)
    _add_diff(subcommands)
    _add_convert(subcommands)
    _add_prune(subcommands)


def _show_usage(parser: argparse.ArgumentParser) -> int:
    parser.print_help(sys.stderr)
    return _UNREADABLE


def _add(subcommands: Any, name: str, text: str, work: Callable[[Arguments], int]) -> Any:
    parser = subcommands.add_parser(name, help=text, description=f"{text.capitalize()}.")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(call=lambda arguments: _guarded(name, work, arguments))
    return parser


def _add_separator(parser: Any) -> None:
    parser.add_argument(
        "--separator",
        default=".",
        metavar="TEXT",
        help="stands between the keys in the names of safetensors files (default: a full stop)",
    )


def _guarded(name: str, work: Callable[[Arguments], int], arguments: Arguments) -> int:
    """Run a subcommand, and turn what goes wrong into a line and an exit code."""
    from ramie import errors

    try:
        return work(arguments)
    except errors.MalformedDataError as error:
        code, problem = _DIFFERS, str(error)
    except (errors.RamieError, OSError) as error:
        code, problem = _UNREADABLE, str(error)
    except KeyboardInterrupt:
        code, problem = _INTERRUPTED, "interrupted"
    print(f"ramie ckpt {name}: {problem}", file=sys.stderr)
    return code


# --- ls -------------------------------------------------------------------------------------------


def _add_ls(subcommands: Any) -> None:
    parser = _add(subcommands, "ls", "list the checkpoints of a directory", _ls)
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--prefix", help="only those whose names start with this, before the step")
    parser.add_argument("--health", action="store_true", help="verify each, which reads all of it")


def _ls(arguments: Arguments) -> int:
    from ramie import checkpoint

    with waiting() as progress:
        found = checkpoint.survey(
            arguments.directory, arguments.prefix, health=arguments.health, progress=progress
        )
    if arguments.json:
        print_json([{**item._asdict(), "health": _health_page(item.health)} for item in found])
    elif found:
        now = time.time()
        print_table(
            ("name", "step", "size", "age", "kind", "metrics", "health"),
            [
                (
                    os.path.basename(item.path),
                    item.step,
                    amount(item.nbytes),
                    duration(now - item.modified),
                    item.form if item.form != "file" else "",
                    _metrics(item.metrics),
                    item.health.state if item.health else "",
                )
                for item in found
            ],
            right=("step", "size", "age"),
        )
    else:
        print(f"no checkpoints in {arguments.directory}", file=sys.stderr)
    damaged = [item for item in found if item.health and item.health.state == "damaged"]
    return _DIFFERS if damaged else 0


def _health_page(health: Any) -> Any:
    return None if health is None else health._asdict()


def _metrics(metrics: Any, above: str = "") -> str:
    parts = []
    for name, value in metrics.items():
        path = f"{above}{name}"
        parts.append(
            _metrics(value, f"{path}/") if isinstance(value, dict) else f"{path} {value:g}"
        )
    return ", ".join(parts)


# --- show -----------------------------------------------------------------------------------------


def _add_show(subcommands: Any) -> None:
    parser = _add(subcommands, "show", "show what is in a checkpoint", _show)
    parser.add_argument("file", metavar="FILE", help="a file, or an Orbax directory")
    parser.add_argument(
        "--stats", action="store_true", help="read the arrays, and say what their numbers are like"
    )
    _add_separator(parser)


def _show(arguments: Arguments) -> int:
    from ramie import checkpoint

    with waiting() as progress:
        found = checkpoint.describe(
            arguments.file,
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


# --- verify ---------------------------------------------------------------------------------------


def _add_verify(subcommands: Any) -> None:
    parser = _add(
        subcommands, "verify", "check whether checkpoints are still what was saved", _verify
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help="a file, an Orbax directory, or a directory of several",
    )


def _verify(arguments: Arguments) -> int:
    from ramie import checkpoint
    from ramie.checkpoint.inspecting import survey as inspection

    found = []
    with waiting() as progress:
        files = [file for path in arguments.paths for file in _files(path)]
        sizes = [inspection.size(file) for file in files]
        for number, file in enumerate(files):
            if progress:
                progress(os.path.basename(file), sum(sizes[:number]), sum(sizes))
            found.append((file, checkpoint.verify(file)))
    if arguments.json:
        print_json([{"path": file, **health._asdict()} for file, health in found])
    else:
        rows = [(file, health.state, health.problem) for file, health in found]
        print_table(("path", "health", "problem"), rows)
    return _DIFFERS if any(health.state == "damaged" for _, health in found) else 0


def _files(path: str) -> list[str]:
    from ramie import checkpoint
    from ramie.checkpoint.formats.orbax import is_orbax

    if not os.path.isdir(path) or is_orbax(path):
        return [path]
    found = [item.path for item in checkpoint.survey(path)]
    others = sorted(name for name in os.listdir(path) if name.endswith(_OTHER_FILES))
    return found + [os.path.join(path, name) for name in others]


# --- diff -----------------------------------------------------------------------------------------


def _add_diff(subcommands: Any) -> None:
    parser = _add(subcommands, "diff", "compare two checkpoints leaf by leaf", _diff)
    parser.add_argument("first", metavar="A")
    parser.add_argument("second", metavar="B")
    _add_separator(parser)


def _diff(arguments: Arguments) -> int:
    from ramie import checkpoint

    with waiting() as progress:
        found = checkpoint.diff(
            arguments.first, arguments.second, separator=arguments.separator, progress=progress
        )
    if arguments.json:
        changed = [change._asdict() for change in found.changed]
        print_json({"same": found.same, **found._asdict(), "changed": changed})
        return 0 if found.same else _DIFFERS
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
    return 0 if found.same else _DIFFERS


# --- convert --------------------------------------------------------------------------------------


def _add_convert(subcommands: Any) -> None:
    parser = _add(subcommands, "convert", "write a checkpoint in another format", _convert)
    parser.add_argument(
        "source",
        metavar="IN",
        help="a msgpack or safetensors file, an index, or an Orbax directory",
    )
    parser.add_argument(
        "destination",
        metavar="OUT",
        help="safetensors if its name ends so, Orbax if it ends in .orbax, else msgpack",
    )
    parser.add_argument(
        "--to", choices=("msgpack", "safetensors", "orbax"), help="the format of OUT"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument(
        "--max-shard-bytes",
        type=_positive,
        metavar="N",
        help="spread larger contents over several safetensors files",
    )
    _add_separator(parser)


def _convert(arguments: Arguments) -> int:
    from ramie import checkpoint

    with waiting():
        path = checkpoint.convert(
            arguments.source,
            arguments.destination,
            form=arguments.to,
            separator=arguments.separator,
            overwrite=arguments.overwrite,
            max_shard_bytes=arguments.max_shard_bytes,
        )
    print_json({"path": path}) if arguments.json else print(path)
    return 0


# --- prune ----------------------------------------------------------------------------------------


def _add_prune(subcommands: Any) -> None:
    parser = _add(subcommands, "prune", "remove all but the newest checkpoints", _prune)
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--keep", type=_positive, required=True, metavar="N", help="how many stay")
    parser.add_argument(
        "--keep-every", type=_positive, metavar="N", help="let one in N steps stay besides"
    )
    parser.add_argument(
        "--prefix", default="checkpoint_", help="what names start with (default: checkpoint_)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def _prune(arguments: Arguments) -> int:
    from ramie import checkpoint

    with waiting():
        found = checkpoint.prune(
            arguments.directory,
            arguments.keep,
            prefix=arguments.prefix,
            keep_every_n_steps=arguments.keep_every,
            dry_run=arguments.dry_run,
        )
    if arguments.json:
        print_json({"dry_run": arguments.dry_run, **found._asdict()})
        return 0
    fate = "would be removed" if arguments.dry_run else "removed"
    rows = [(os.path.basename(path), fate) for path in found.removed]
    rows += [(os.path.basename(path), "damaged, stays") for path in found.damaged]
    rows += [(os.path.basename(path), "stays") for path in found.kept]
    if rows:
        print_table(("name", "what"), rows)
    return 0


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but is {text!r}")
    return number
