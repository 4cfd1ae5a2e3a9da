"""`ramie demo`: train on handwritten digits, and survive being killed."""

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from ramie import errors
from ramie.cli.advice import in_words_of
from ramie.cli.demo.settings import APIS, Settings, SettingsError
from ramie.cli.output import print_json

__all__ = ["add_parser"]

_INTERRUPTED = 130


def add_parser(commands: Any) -> None:
    """Add `demo` to the commands of the `ramie` parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "demo",
        help="train a small network on real handwritten digits",
        description=(
            "Train a small convolutional network on the handwritten digits that scikit-learn "
            "ships, with a checkpoint after each epoch. Stop it whenever you like: the same "
            "command goes on from the last checkpoint and ends with the same parameters, bit "
            "for bit, as if it had never stopped."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    default = Settings()
    parser.add_argument(
        "--workdir",
        type=Path,
        default=default.workdir,
        metavar="DIR",
        help="directory of checkpoints and pictures",
    )
    parser.add_argument(
        "--epochs",
        type=_whole_number,
        default=default.epochs,
        metavar="N",
        help="how often to go through the training images, over all runs in DIR together",
    )
    parser.add_argument(
        "--batch-size",
        type=_whole_number,
        default=default.batch_size,
        metavar="N",
        help="images per optimizer step",
    )
    parser.add_argument(
        "--learning-rate",
        type=_number,
        default=default.learning_rate,
        metavar="X",
        help="step size of the optimizer",
    )
    parser.add_argument(
        "--seed",
        type=_whole_number,
        default=default.seed,
        metavar="N",
        help="decides the initial parameters and the order of the images",
    )
    parser.add_argument(
        "--api",
        choices=APIS,
        default=default.api,
        help="in which API the network and its training step are written",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the results as JSON, for scripts; all else goes to the standard error",
    )
    parser.set_defaults(call=lambda arguments: _run(parser, arguments), parser=parser)


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    try:
        settings = Settings(
            workdir=arguments.workdir,
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            learning_rate=arguments.learning_rate,
            seed=arguments.seed,
            api=arguments.api,
        )
    except SettingsError as error:
        parser.error(_in_terms_of_options(error))
    try:
        # Only now: a mistyped option should not wait for JAX to load.
        from ramie.cli import demo

        with contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout):
            results = demo.run(settings)
    except SettingsError as error:
        parser.error(_in_terms_of_options(error))
    except KeyboardInterrupt:
        if arguments.json:
            page = {"error": "interrupted", "kind": "interrupted", "command": settings.command()}
            print_json(page)
        return _say_how_to_resume(settings)
    except BrokenPipeError:
        raise  # nobody reads any more: nothing is wrong with the directory
    except (errors.RamieError, OSError) as error:
        where = f"cannot use --workdir {settings.workdir}: " if isinstance(error, OSError) else ""
        problem = f"{where}{in_words_of(parser, str(error))}"
        print(f"ramie demo: {problem}", file=sys.stderr)
        if arguments.json:
            print_json({"error": problem, "kind": "failed"})
        return 1
    if arguments.json:
        print_json(_page(settings, results))
    return 0


def _page(settings: Settings, results: Any) -> dict[str, Any]:
    """Return what a script is told of a finished training."""
    history = vars(results.progress.history)
    return {
        "settings": {**vars(settings), "workdir": str(settings.workdir)},
        "epochs": [
            dict(zip(history, row, strict=True)) for row in zip(*history.values(), strict=True)
        ],
        "checkpoint": str(settings.saved_checkpoints()[-1]),
        "pictures": [str(path) for path in results.pictures],
    }


def _say_how_to_resume(settings: Settings) -> int:
    saved = settings.saved_checkpoints()
    where = f"go on from {saved[-1]}" if saved else "start again (no epoch was finished yet)"
    print(f"\nInterrupted. To {where}, run:\n  {settings.command()}", file=sys.stderr)
    return _INTERRUPTED


def _in_terms_of_options(error: SettingsError) -> str:
    return f"argument --{error.name.replace('_', '-')}: {error.problem}"


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, but it is {text!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, but it is {text!r}") from None
