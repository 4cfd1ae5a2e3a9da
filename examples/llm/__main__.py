"""Train a language model on the source of Python's library: ``python -m examples.llm``.

The run is a folder. A run that was ended in any way goes on when the same command is given again,
also with another number of processes or devices.
"""

import argparse
import dataclasses
import signal
import socket
import sys
from pathlib import Path

from examples.llm import meshes
from examples.llm.settings import PRESETS, Settings

from ramie.errors import ProcessFailedError

SIZES = [
    field.name
    for field in dataclasses.fields(Settings)
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
]


def arguments() -> argparse.Namespace:
    """Read what was typed."""
    parser = argparse.ArgumentParser(prog="python -m examples.llm", description=__doc__)
    parser.add_argument("--workdir", type=Path, default=Path("llm-run"), help="folder of the run")
    parser.add_argument("--preset", choices=PRESETS, default="small", help="sizes to begin with")
    for name in SIZES:
        kind = type(getattr(PRESETS["small"], name))
        parser.add_argument(f"--{name}", type=kind, help=f"instead of the preset's {name}")
    parser.add_argument("--no-scan", action="store_true", help="write the layers out")
    parser.add_argument("--remat", action="store_true", help="compute layers twice, keep less")
    parser.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--mesh", default="", help="such as data=2,model=2; default: all data")
    parser.add_argument("--processes", type=int, default=1, help="processes on this machine")
    parser.add_argument("--devices", type=int, default=1, help="CPU devices of each process")
    parser.add_argument("--quiet", action="store_true", help="print nothing on the way")
    return parser.parse_args()


def settings_of(typed: argparse.Namespace) -> Settings:
    """Take the preset, and what was typed instead of its numbers."""
    changes = {name: getattr(typed, name) for name in SIZES if getattr(typed, name) is not None}
    return dataclasses.replace(
        PRESETS[typed.preset], **changes, scan=not typed.no_scan, remat=typed.remat
    )


def check_folder(folder: Path, settings: Settings) -> None:
    """Refuse to go on with other sizes than the run began with."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "settings.json"
    if file.exists() and file.read_text() != settings.text():
        raise ValueError(
            f"{folder} holds a run with other sizes; {file} lists them. Give the same sizes to go "
            "on with it, or another --workdir."
        )
    file.write_text(settings.text())


def run_here(typed: argparse.Namespace, settings: Settings) -> bool:
    """Train in this process, on the devices that JAX finds."""
    import jax

    jax.config.update("jax_num_cpu_devices", typed.devices)
    # A job of one: with it comes JAX's watch for SIGTERM, which Orbax's manager asks.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    jax.distributed.initialize(address, 1, 0)
    from examples.llm import running

    ended = running.train(typed.workdir, settings, typed.mesh, typed.every, typed.quiet)
    jax.distributed.shutdown()
    return ended


def run_apart(typed: argparse.Namespace, settings: Settings) -> bool:
    """Train in several processes, and hand a SIGTERM on to them."""
    from ramie.testing import processes

    with processes.start(
        "examples.llm.running:train",
        typed.workdir,
        settings,
        typed.mesh,
        typed.every,
        typed.quiet,
        processes=typed.processes,
        devices=typed.devices,
        show=range(typed.processes),
    ) as group:
        signal.signal(signal.SIGTERM, lambda number, _: group.send_signal(number))
        return all(group.wait(timeout=7 * 24 * 3600.0))


def main() -> None:
    """Train, and draw the losses."""
    typed = arguments()
    try:
        settings = settings_of(typed)
        check_folder(typed.workdir, settings)
        meshes.sizes(typed.mesh, typed.processes * typed.devices)
    except ValueError as error:
        sys.exit(f"error: {error}")
    try:
        ended = (run_here if typed.processes == 1 else run_apart)(typed, settings)
    except ProcessFailedError as error:
        sys.exit(f"error: {error}\nThe same command goes on from the last checkpoint.")
    if ended:
        from examples.llm import picture

        print(f"losses drawn in {picture.draw(typed.workdir)}")


if __name__ == "__main__":
    main()
