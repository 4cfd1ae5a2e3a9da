"""`ramie ckpt rm`: the checkpoint of one step goes."""

import argparse
import os
import sys
from typing import Any

from ramie.cli.ckpt import subcommand
from ramie.cli.failures import Usage, say
from ramie.cli.output import print_json, visible

__all__ = ["add_parser"]


def add_parser(subcommands: Any) -> None:
    """Add `rm` to the subcommands of the parser of `ramie ckpt`."""
    parser = subcommand.add(subcommands, "rm", "remove the checkpoint of one step", _rm)
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("step", metavar="STEP", type=_step, help="the number in its name")
    parser.add_argument(
        "--prefix", help="what its name starts with; only needed if several have this step"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def _step(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, but is {text!r}") from None


def _rm(arguments: argparse.Namespace) -> int:
    from ramie import checkpoint

    prefix = arguments.prefix
    if prefix is None:
        prefix = _only_prefix(arguments)
    path = checkpoint.remove(arguments.directory, arguments.step, prefix=prefix, dry_run=True)
    goes = not arguments.dry_run and (arguments.yes or _agreed(arguments, path))
    if goes:
        checkpoint.remove(arguments.directory, arguments.step, prefix=prefix)
    if arguments.json:
        print_json({"dry_run": arguments.dry_run, "removed": [path] if goes else [], "path": path})
    elif arguments.dry_run:
        print(f"would be removed: {visible(path)}")
    else:
        print(f"removed: {visible(path)}" if goes else "nothing was removed")
    return 0


def _only_prefix(arguments: argparse.Namespace) -> str:
    """Return the prefix that has a step, or that of most runs where none has it."""
    from ramie import checkpoint

    listed = checkpoint.survey(arguments.directory)
    found = [item.prefix for item in listed if item.step == arguments.step]
    if len(found) > 1:
        names = ", ".join(f"'{visible(name)}'" for name in found)
        raise Usage(
            arguments.parser, f"several checkpoints have this step; choose one by --prefix: {names}"
        )
    return found[0] if found else "checkpoint_"


def _agreed(arguments: argparse.Namespace, path: str) -> bool:
    if not sys.stdin or not sys.stdin.isatty():
        raise Usage(
            arguments.parser, f"{visible(path)} would be removed for good: confirm it by --yes"
        )
    say(arguments.parser, f"remove {visible(os.path.normpath(path))} for good? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
