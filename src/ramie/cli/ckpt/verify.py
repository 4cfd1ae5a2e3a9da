"""`ramie ckpt verify`: whether checkpoints are still what was saved."""

import argparse
import os
from typing import Any, NamedTuple

from ramie.cli.advice import in_words_of
from ramie.cli.ckpt import subcommand
from ramie.cli.ckpt.nothing import nothing_found
from ramie.cli.failures import DIFFERS, MISUSE, explain, say
from ramie.cli.output import print_json, print_table, waiting

__all__ = ["add_parser"]

_OTHER_FILES = (".safetensors", ".safetensors.index.json")


def add_parser(subcommands: Any) -> None:
    """Add `verify` to the subcommands of the parser of `ramie ckpt`."""
    parser = subcommand.add(
        subcommands, "verify", "check whether checkpoints are still what was saved", _verify
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help="a file, an Orbax directory, or a directory of several",
    )


class _Seen(NamedTuple):
    """A line of the report: of a file, or of a path at which there is none to verify."""

    path: str
    state: str
    problem: str
    code: int


def _verify(arguments: argparse.Namespace) -> int:
    from ramie.checkpoint.storage import entries

    seen: list[_Seen] = []
    with waiting() as progress:
        files: list[str] = []
        odd: list[_Seen] = []
        for path in arguments.paths:
            inside, others = _files(path)
            files += inside
            odd += others
            if not inside and not others:
                seen.append(_Seen(path, "not found", nothing_found(path, None), MISUSE))
        sizes = [entries.size_of(file) if os.path.exists(file) else 0 for file in files]
        for number, file in enumerate(files):
            told = _part_of(progress, sum(sizes[:number]), sum(sizes))
            seen.append(_look(file, arguments.parser, told))
        seen += odd
    _report(arguments, seen)
    codes = {item.code for item in seen}
    return DIFFERS if DIFFERS in codes else max(codes)


def _part_of(progress: Any, before: int, total: int) -> Any:
    """Tell the progress of one file as that of all."""
    return progress and (lambda what, done, _: progress(what, before + done, total))


def _look(file: str, parser: argparse.ArgumentParser, progress: Any) -> _Seen:
    """Verify one; what goes wrong with it does not keep the others from being looked at."""
    from ramie import checkpoint

    try:
        health = checkpoint.verify(file, progress=progress)
    except Exception as error:
        failure = explain(error, parser)
        if failure is None:
            raise
        return _Seen(file, failure.kind, failure.problem, failure.code)
    code = 0 if health.is_good else DIFFERS
    return _Seen(file, health.state, in_words_of(parser, health.problem), code)


def _report(arguments: argparse.Namespace, seen: list[_Seen]) -> None:
    if arguments.json:
        print_json(
            [{"path": item.path, "state": item.state, "problem": item.problem} for item in seen]
        )
        return
    rows = [item[:3] for item in seen if item.code != MISUSE]
    if rows:
        print_table(("path", "health", "problem"), rows)
    for item in seen:
        if item.code == MISUSE:
            say(arguments.parser, item.problem)


def _files(path: str) -> tuple[list[str], list[_Seen]]:
    """Return what there is to verify at a path, and what is called like it and is none."""
    from ramie import checkpoint
    from ramie.checkpoint.formats.orbax import is_orbax

    if not os.path.isdir(path) or is_orbax(path):
        return [path], []
    listed = checkpoint.survey(path, others=True)
    others = [item for item in listed if item.form in ("unfinished", "foreign")]
    found = [item.path for item in listed if item not in others]
    found += sorted(
        os.path.join(path, name) for name in os.listdir(path) if name.endswith(_OTHER_FILES)
    )
    return found, [_Seen(item.path, item.form, item.problem, 0) for item in others]
