"""What the subcommands of `ramie ckpt` share: how they are added, and some options."""

import argparse
import functools
import os
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["OUT", "add", "add_separator", "add_writing", "writing"]

OUT = "safetensors if its name ends so, Orbax if it ends in .orbax, else msgpack"
"""What is written, by the name of the new file."""


def add(
    subcommands: Any, name: str, text: str, work: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """Add a subcommand that does some work, and return its parser.

    The work is done without devices other than the CPU: where JAX was told to use others, which may
    be absent or busy, it is told otherwise before it is imported.
    """
    parser: argparse.ArgumentParser = subcommands.add_parser(
        name, help=text, description=f"{text.capitalize()}."
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(call=functools.partial(_on_the_host, work), parser=parser)
    return parser


def _on_the_host(work: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    if "jax" not in sys.modules:
        os.environ["JAX_PLATFORMS"] = "cpu"
    return work(arguments)


def add_separator(parser: argparse.ArgumentParser) -> None:
    """Add the option of what stands between the keys in names of safetensors files."""
    parser.add_argument(
        "--separator",
        default=".",
        metavar="TEXT",
        type=lambda text: None if text == "none" else text,
        help="stands between the keys in the names of safetensors files (default: a full stop); "
        "none leaves names as they are",
    )


def add_writing(parser: argparse.ArgumentParser) -> None:
    """Add the options of all that write a new checkpoint."""
    parser.add_argument(
        "--to",
        dest="form",
        choices=("msgpack", "safetensors", "orbax"),
        help="the format of OUT",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument(
        "--drop-metadata",
        action="store_true",
        help="leave out the strings about IN, where OUT has no place for them or none are wanted",
    )
    add_separator(parser)


def writing(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the options of `add_writing` say, as all functions that write take it."""
    names = ("form", "separator", "overwrite", "drop_metadata")
    return {name: getattr(arguments, name) for name in names}
