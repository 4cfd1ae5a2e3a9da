"""`ramie ckpt verify`: whether checkpoints are still what was saved."""

import argparse
import os
from typing import Any

from ramie.cli.ckpt import subcommand
from ramie.cli.failures import DIFFERS
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


def _verify(arguments: argparse.Namespace) -> int:
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
    return DIFFERS if any(health.state == "damaged" for _, health in found) else 0


def _files(path: str) -> list[str]:
    from ramie import checkpoint
    from ramie.checkpoint.formats.orbax import is_orbax

    if not os.path.isdir(path) or is_orbax(path):
        return [path]
    found = [item.path for item in checkpoint.survey(path)]
    others = sorted(name for name in os.listdir(path) if name.endswith(_OTHER_FILES))
    return found + [os.path.join(path, name) for name in others]
