"""`ramie plan`: what a training step needs on devices that need not be there."""

import argparse
import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ramie import errors
from ramie.cli.advice import in_words_of
from ramie.cli.arguments import positive
from ramie.cli.failures import DIFFERS, INTERRUPTED, Told, Usage
from ramie.cli.failures import say as tell
from ramie.cli.output import print_json, working
from ramie.cli.plan import meshes, picture, target
from ramie.cli.plan.rules import RulesFileError, read_rules

__all__ = ["add_parser"]

_TARGET = "MODULE:FUNCTION"
_SIMULATED = "cpu:"


def add_parser(commands: Any) -> None:
    """Add `plan` to the commands of the `ramie` parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "plan",
        help="say what a training step needs on devices that need not be there",
        description=(
            "Compile a training step for the chips of a topology, without any of them, and say "
            "what it needs there: memory by kind, work, the time below which it cannot be, what "
            "devices send each other, and what could be divided and is not."
        ),
        epilog="Exit codes: 0 it fits, 1 it does not, 2 it cannot be planned or is misused, 130 "
        "interrupted.",
    )
    parser.add_argument(
        "target",
        metavar=_TARGET,
        nargs="?",
        help="is called with mesh, batch and rules, as far as it has such parameters, and returns "
        "the step, a tuple of its abstract arguments, and maybe a dictionary of more arguments "
        "of ramie.plan.plan; FILE.py:FUNCTION does as well",
    )
    parser.add_argument(
        "--topology",
        metavar="NAME",
        help="the chips and how many, as in v5e:16x16; cpu:8 simulates any 8 devices on this CPU",
    )
    parser.add_argument(
        "--mesh",
        type=meshes.mesh,
        default={"data": meshes.REST},
        metavar="AXES",
        help="axes with their sizes, as in data=32,model=8; one may be *, which is what is left "
        "(default: data=*)",
    )
    parser.add_argument(
        "--sweep",
        type=meshes.sweep,
        action="append",
        default=[],
        metavar="SIZES",
        help="an axis and the sizes to try, as in model=1,2,4,8; may stand several times. Another "
        "axis takes what is left: that of size *, or the first one",
    )
    parser.add_argument(
        "--explicit", action="store_true", help="let the axes of the mesh be explicit"
    )
    parser.add_argument(
        "--rules",
        type=Path,
        metavar="FILE",
        help="logical axes and the mesh axes over which they are divided, as JSON or TOML",
    )
    parser.add_argument(
        "--batch", type=positive, metavar="N", help="handed to the function as batch"
    )
    parser.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="handed to the function, too; a value is JSON or else a string",
    )
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="draw the memory by kind, as PNG, SVG or PDF by the end of the name",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.add_argument(
        "--topologies", action="store_true", help="only list the names of topologies"
    )
    parser.set_defaults(call=functools.partial(_run, parser), parser=parser)


def _setting(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not (sign and name.isidentifier()):
        raise argparse.ArgumentTypeError(
            f"must be a name and a value, as in layers=8, not {text!r}"
        )
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    if "jax" not in sys.modules:
        os.environ["JAX_PLATFORMS"] = "cpu"  # where there is a TPU, it stays free
    if arguments.topologies:
        return _list_topologies(arguments)
    for name, value in ((_TARGET, arguments.target), ("--topology", arguments.topology)):
        if value is None:
            raise Usage(parser, f"the following arguments are required: {name}")
    given = _given(arguments)
    if arguments.picture is not None:
        _check_picture(arguments.picture)
    rows, left = _plans(parser, arguments, given)
    if arguments.picture is not None and not left:
        name = arguments.target.rpartition(":")[2]
        picture.draw(rows, f"{name} on {arguments.topology}", arguments.picture)
    code = _print(arguments, rows)
    if not left:
        return code
    sys.stdout.flush()
    tell(parser, f"interrupted; {left} of {left + len(rows)} meshes were not planned")
    return INTERRUPTED


def _list_topologies(arguments: argparse.Namespace) -> int:
    from ramie.training.plan.topology import topologies

    names = topologies()
    if arguments.json:
        print_json(names)
    else:
        print("\n".join(names))
    return 0


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the target is called with, apart from the mesh."""
    given = dict[str, Any]()
    for name, value in arguments.set:
        if name in given or name in ("mesh", "batch", "rules"):
            why = "is said twice" if name in given else f"has an option of its own: --{name}"
            raise Told("misuse", f"argument --set: {name} {why}")
        given[name] = value
    if arguments.batch is not None:
        given["batch"] = arguments.batch
    if arguments.rules is not None:
        try:
            given["rules"] = read_rules(arguments.rules)
        except RulesFileError as error:
            raise Told("misuse", f"argument --rules: '{arguments.rules}': {error}") from None
    return given


def _check_picture(path: Path) -> None:
    picture.check()
    if path.suffix[1:].lower() not in picture.FORMATS:
        what = f"a picture is one of {', '.join(picture.FORMATS)} by the end of its name"
        raise Told("misuse", f"argument --picture: '{path}' cannot be written: {what}")
    if not path.parent.is_dir():
        raise Told("not found", f"argument --picture: there is no folder '{path.parent}'")
    if path.is_dir():
        raise Told("misuse", f"argument --picture: '{path}' is a folder")


def _plans(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, given: dict[str, Any]
) -> tuple[list[Any], int]:
    """Plan for each mesh.

    Returns:
      The rows in the order in which they are shown, and how many meshes are left because the user
      interrupted.
    """
    from ramie.cli.plan.report import Row, sorted_rows

    # What the user's code prints must not stand among what is printed of the plan.
    with contextlib.redirect_stdout(sys.stderr), working() as say:
        say(f"looking for {arguments.topology}")
        variants = _variants(parser, arguments)
        say(f"importing {arguments.target}")
        function = _function(arguments, given)
        rows, failures = [], []
        for number, axes in enumerate(variants):
            one_of = f" ({number + 1} of {len(variants)})" if len(variants) > 1 else ""
            name = f"{meshes.described(axes)} of {arguments.topology}{one_of}"
            progress = functools.partial(_say_stage, say, name)
            try:
                rows.append(Row(axes, _plan(parser, arguments, function, given, axes, progress)))
            except Told as error:
                if not arguments.sweep:
                    raise
                rows.append(Row(axes, None, str(error)))
                failures.append(error)
            except KeyboardInterrupt:
                if len(failures) == len(rows):
                    raise
                break
    if len(failures) == len(rows):
        raise failures[0]
    return sorted_rows(rows), len(variants) - len(rows)


def _say_stage(say: Callable[[str], None], name: str, stage: str) -> None:
    doing = {"trace": "tracing", "compile": "compiling", "read": "reading the program"}
    say(f"{doing.get(stage, stage)} for {name}")


def _variants(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> list[Any]:
    """Return the meshes; the devices are asked for before the user's module can start JAX."""
    from ramie.training.plan.topology import device_count

    try:
        count = device_count(arguments.topology)
    except errors.UnknownTopologyError as error:
        raise _unknown(parser, error) from None
    option = "--sweep" if arguments.sweep else "--mesh"
    try:
        if arguments.sweep:
            return meshes.variants(arguments.mesh, arguments.sweep, count)
        return [meshes.complete(arguments.mesh, count)]
    except ValueError as error:
        raise Told("misuse", f"argument {option}: {error}") from None


def _unknown(parser: argparse.ArgumentParser, error: Exception) -> Told:
    text = str(error).replace("ramie.plan.topologies()", "`ramie plan --topologies`")
    return Told("misuse", f"argument --topology: {in_words_of(parser, text)}")


def _function(arguments: argparse.Namespace, given: dict[str, Any]) -> Callable[..., Any]:
    try:
        function = target.find(arguments.target)
    except target.TargetError as error:
        raise Told(error.kind, f"argument {_TARGET}: {error}") from None
    if problem := target.refused_words(function, given):
        raise Told("misuse", problem)
    return function


def _plan(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    function: Callable[..., Any],
    given: dict[str, Any],
    axes: dict[str, int],
    progress: Callable[[str], None],
) -> Any:
    from ramie.training.plan.planning import plan
    from ramie.training.plan.topology import make_mesh

    mesh = make_mesh(arguments.topology, axes, explicit=arguments.explicit)
    try:
        made = target.call(function, given, mesh)
    except target.TargetError as error:
        raise Told(error.kind, str(error)) from None
    rules = {"rules": given["rules"]} if "rules" in given else {}
    options = {"explicit": arguments.explicit, **made.options, **rules}
    try:
        return plan(
            made.step,
            *made.arguments,
            topology=arguments.topology,
            mesh=axes,
            progress=progress,
            **options,
        )
    except errors.UnknownTopologyError as error:  # it was well formed, but the compiler has none
        raise _unknown(parser, error) from None
    except (errors.PlanMeshError, errors.PlanArgumentError, errors.CompilerFailedError) as error:
        raise Told("refused", in_words_of(parser, str(error))) from None
    except (errors.MissingExtraError, MemoryError):
        raise
    except Exception as error:
        raise Told("program", str(target.raised("the step", error))) from error


def _print(arguments: argparse.Namespace, rows: list[Any]) -> int:
    from ramie.cli.plan.report import print_plan, print_sweep

    if arguments.json:
        pages = [
            row.plan.as_dict()
            if row.plan
            else {"mesh": row.mesh, "verdict": "impossible", "problem": row.problem}
            for row in rows
        ]
        print_json(pages if arguments.sweep else pages[0])
    elif arguments.sweep:
        print_sweep(rows)
    else:
        print_plan(rows[0].plan)
    return 0 if any(row.plan and row.plan.fits for row in rows) else DIFFERS
