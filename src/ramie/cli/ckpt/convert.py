"""`ramie ckpt convert`: a checkpoint in another format."""

import argparse
from typing import Any

from ramie.cli.arguments import positive
from ramie.cli.ckpt import subcommand
from ramie.cli.output import print_json, visible, waiting

__all__ = ["add_parser"]


def add_parser(subcommands: Any) -> None:
    """Add `convert` to the subcommands of the parser of `ramie ckpt`."""
    parser = subcommand.add(
        subcommands, "convert", "write a checkpoint in another format", _convert
    )
    parser.add_argument(
        "source",
        metavar="IN",
        help="a msgpack or safetensors file, an index, or an Orbax directory",
    )
    parser.add_argument("destination", metavar="OUT", help=subcommand.OUT)
    parser.add_argument(
        "--max-shard-bytes",
        type=positive,
        metavar="N",
        help="spread larger contents over several safetensors files",
    )
    parser.add_argument(
        "--metadata",
        action="append",
        type=_assignment,
        metavar="KEY=VALUE",
        help="a string about a safetensors file; may be given again",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="write what is there of an incomplete index, and what can be read",
    )
    parser.add_argument(
        "--stack",
        metavar="NAME",
        help="make one entry NAME of the layers NAME_0, NAME_1 and so on, or NAME/0, NAME/1",
    )
    parser.add_argument(
        "--unstack",
        metavar="NAME",
        help="divide the entry NAME into NAME_0, NAME_1 and so on; NAME/ into NAME/0, NAME/1",
    )
    subcommand.add_writing(parser)


def _assignment(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"must be a name, =, and a text, but is {text!r}")
    return key, value


def _convert(arguments: argparse.Namespace) -> int:
    from ramie import checkpoint

    with waiting() as progress:
        path = checkpoint.convert(
            arguments.source,
            arguments.destination,
            max_shard_bytes=arguments.max_shard_bytes,
            metadata=dict(arguments.metadata or ()),
            partial=arguments.partial,
            stack=arguments.stack,
            unstack=arguments.unstack,
            progress=progress,
            **subcommand.writing(arguments),
        )
    print_json({"path": path}) if arguments.json else print(visible(path))
    return 0
