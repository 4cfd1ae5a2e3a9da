"""Train a language model on the source of Python's library: ``python -m examples.llm``.

The run is a folder. A run that was ended in any way goes on when the same command is given again,
also with another number of processes or devices. With --sample, a trained model continues a text.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from examples.llm import checks, launching
from examples.llm.settings import PRESETS, SIZES, Settings, UsageError

from ramie.errors import ProcessFailedError

AGAIN = "The same command goes on from the last checkpoint."


def arguments(typed: Sequence[str] | None) -> argparse.Namespace:
    """Read what was typed."""
    parser = argparse.ArgumentParser(prog="python -m examples.llm", description=__doc__)
    parser.add_argument("--workdir", type=Path, default=Path("llm-run"), help="folder of the run")
    parser.add_argument("--quiet", action="store_true", help="print nothing on the way")
    size = parser.add_argument_group("sizes of a run that begins")
    size.add_argument("--preset", choices=PRESETS, default="small", help="default: small")
    for name in SIZES:
        kind = type(getattr(PRESETS["small"], name))
        size.add_argument(f"--{name}", type=kind, help=f"instead of the preset's {name}")
    size.add_argument("--no-scan", action="store_true", help="write the layers out")
    size.add_argument("--remat", action="store_true", help="compute layers twice, keep less")
    run = parser.add_argument_group("how it runs; may change when a run goes on")
    run.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    run.add_argument("--mesh", default="", help="such as data=2,model=2; default: all data")
    run.add_argument("--processes", type=int, default=1, help="processes on this machine")
    run.add_argument("--devices", type=int, help="CPU devices of each process; default: 1")
    text = parser.add_argument_group("text from the last checkpoint, instead of training")
    text.add_argument("--sample", metavar="PROMPT", help="continue this text")
    text.add_argument("--bytes", type=int, default=400, help="how many to add; default: 400")
    text.add_argument("--samples", type=int, default=1, help="how many continuations")
    text.add_argument(
        "--temperature", type=float, default=0.8, help="0 takes the likeliest byte; default: 0.8"
    )
    text.add_argument(
        "--top-k", type=int, default=40, help="likeliest bytes to choose from; default: 40"
    )
    text.add_argument("--sample-seed", type=int, default=0, help="another one, another text")
    return parser.parse_args(typed)


def settings_of(typed: argparse.Namespace) -> Settings:
    """Take the preset, and what was typed instead of its numbers."""
    changes = {name: getattr(typed, name) for name in SIZES if getattr(typed, name) is not None}
    return dataclasses.replace(
        PRESETS[typed.preset], **changes, scan=not typed.no_scan, remat=typed.remat
    )


def check_mesh(typed: argparse.Namespace, settings: Settings, devices: int) -> None:
    """Refuse a mesh that does not fit the devices or the sizes."""
    from examples.llm import meshes

    shape = meshes.sizes(typed.mesh, devices)
    try:
        meshes.check(settings, shape, typed.processes)
    except UsageError as error:
        raise UsageError(f"--mesh {typed.mesh or f'data={devices}'!r}: {error}") from error


def train(typed: argparse.Namespace) -> bool:
    """Begin a run, or go on with it; tell whether it has come to its end."""
    settings = settings_of(typed)
    for name in ("every", "processes", "devices"):
        number = getattr(typed, name)
        if number is not None and number < 1:
            raise UsageError(f"--{name} {number}: give a whole number from 1 on.")
    if typed.processes > 1 or typed.devices is not None:
        check_mesh(typed, settings, typed.processes * (typed.devices or 1))
    checks.begin(typed.workdir, settings)
    order = typed.workdir, settings, typed.mesh, typed.every, typed.quiet
    if typed.processes > 1:
        return launching.apart(order, typed.processes, typed.devices or 1)
    from examples.llm import running

    with launching.job_of_one(typed.devices) as devices:
        check_mesh(typed, settings, devices)
        return running.train(*order)


def continue_text(typed: argparse.Namespace) -> None:
    """Print continuations of a text by the model of the last checkpoint."""
    settings = checks.settings_in(typed.workdir)
    if settings is None or checks.newest(typed.workdir) is None:
        raise UsageError(
            f"{typed.workdir} holds no checkpoint; train first: "
            f"python -m examples.llm --workdir {typed.workdir}"
        )
    if typed.processes != 1:
        raise UsageError("--sample takes one process, however many have trained the model.")
    if changed(typed):
        checks.same_settings(typed.workdir, settings, settings_of(typed))
    prompt = os.fsencode(typed.sample)
    choices = {
        "size": typed.bytes,
        "count": typed.samples,
        "temperature": typed.temperature,
        "highest": typed.top_k,
        "seed": typed.sample_seed,
    }
    from examples.llm import sampling

    sampling.check(prompt, **choices)
    if len(prompt) >= settings.length:
        print(
            f"note: the prompt has {len(prompt)} bytes, and the model sees {settings.length}: it "
            f"goes on from the last {settings.length // 2}.",
            file=sys.stderr,
        )
    check_mesh(typed, settings, launching.find(typed.devices))
    for text in sampling.from_checkpoint(typed.workdir, settings, typed.mesh, prompt, **choices):
        print(sampling.printable(text))


def changed(typed: argparse.Namespace) -> bool:
    """Tell whether sizes were typed."""
    default = arguments([])
    names = ["preset", *SIZES, "no_scan", "remat"]
    return any(getattr(typed, name) != getattr(default, name) for name in names)


def main(typed: Sequence[str] | None = None) -> None:
    """Train and draw the losses, or sample.

    Args:
      typed: the arguments; None for those of the command line.
    """
    given = arguments(typed)
    try:
        checks.packages()
        if given.sample is not None:
            continue_text(given)
            return
        with launching.nothing_to_save():
            ended = train(given)
        if ended:
            from examples.llm import picture

            print(f"losses drawn in {picture.draw(given.workdir)}")
    except UsageError as error:
        sys.exit(f"error: {error}")
    except ProcessFailedError as error:
        sys.exit(f"error: {error}\n{AGAIN}")
    except KeyboardInterrupt:
        print(f"\nInterrupted. {AGAIN}", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
