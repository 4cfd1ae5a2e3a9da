"""`ramie ckpt ls`: the checkpoints of a directory."""

import argparse
import os
import time
from typing import Any

from ramie.cli.ckpt import subcommand
from ramie.cli.ckpt.nothing import nothing_found
from ramie.cli.failures import DIFFERS, say
from ramie.cli.output import amount, duration, print_json, print_table, waiting

__all__ = ["add_parser"]


def add_parser(subcommands: Any) -> None:
    """Add `ls` to the subcommands of the parser of `ramie ckpt`."""
    parser = subcommand.add(subcommands, "ls", "list the checkpoints of a directory", _ls)
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--prefix", help="only those whose names start with this, before the step")
    parser.add_argument("--health", action="store_true", help="verify each, which reads all of it")


def _ls(arguments: argparse.Namespace) -> int:
    from ramie import checkpoint

    with waiting() as progress:
        found = checkpoint.survey(
            arguments.directory,
            arguments.prefix,
            health=arguments.health,
            others=True,
            progress=progress,
        )
    if arguments.json:
        print_json([{**item._asdict(), "health": _health_page(item.health)} for item in found])
    elif found:
        now = time.time()
        print_table(
            ("name", "step", "size", "age", "kind", "metrics", "health", "problem"),
            [
                (
                    os.path.basename(item.path),
                    item.step,
                    amount(item.nbytes),
                    duration(now - item.modified),
                    item.form if item.form != "file" else "",
                    _metrics(item.metrics),
                    item.health.state if item.health else "",
                    item.problem,
                )
                for item in found
            ],
            right=("step", "size", "age"),
        )
    else:
        say(arguments.parser, nothing_found(arguments.directory, arguments.prefix))
    damaged = [item for item in found if item.health and not item.health.is_good]
    return DIFFERS if damaged else 0


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
