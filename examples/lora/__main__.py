"""Adapt the language model of examples.llm to another text: ``python -m examples.lora``.

The run is a folder. A run that was ended in any way goes on when the same command is given again.
"""

import argparse
import dataclasses
import importlib.util
import json
import signal
import sys
from pathlib import Path

from examples.llm.settings import UsageError
from examples.lora.settings import EXAMPLE, PRESETS, TEXTS, Settings

from ramie.errors import RamieError

NEEDED = {"grain": "grain", "orbax": "orbax-checkpoint", "matplotlib": "matplotlib"}
OF_A_BASE = ("size", "base_steps")
HELP = {"text": f"{', '.join(TEXTS)}, or a file", "where": "layers that get adapters"}


def arguments() -> argparse.Namespace:
    """Read what was typed."""
    parser = argparse.ArgumentParser(
        prog=f"python -m examples.{EXAMPLE}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workdir", type=Path, default=Path("lora-run"), help="folder of the run")
    parser.add_argument(
        "--base", type=Path, help="folder of a run of examples.llm; without it, one is trained here"
    )
    parser.add_argument("--preset", choices=PRESETS, default="small", help="numbers to begin with")
    for field in dataclasses.fields(Settings):
        said = f"{HELP[field.name]}; " if field.name in HELP else ""
        parser.add_argument(
            f"--{field.name}", type=type(field.default), help=f"{said}default: {field.default}"
        )
    parser.add_argument("--quiet", action="store_true", help="print nothing on the way")
    return parser.parse_args()


def settings_of(typed: argparse.Namespace) -> Settings:
    """Take the preset, and what was typed instead of its numbers."""
    names = [field.name for field in dataclasses.fields(Settings)]
    changes = {name: getattr(typed, name) for name in names if getattr(typed, name) is not None}
    useless = [f"--{name}" for name in OF_A_BASE if name in changes]
    if typed.base and useless:
        raise ValueError(f"{' and '.join(useless)} would be of a base that is trained here.")
    return dataclasses.replace(PRESETS[typed.preset], **changes)


def check_packages(text: str) -> None:
    """Refuse to begin what would fail later for want of a package."""
    own = TEXTS.get(text)
    needed = NEEDED | ({own: own} if own else {})
    missing = [name for top, name in needed.items() if importlib.util.find_spec(top) is None]
    if missing:
        raise ModuleNotFoundError(
            f"this example needs what is not installed: {', '.join(missing)}. Install it by "
            f"`pip install {' '.join(missing)}`."
        )


def check_folder(folder: Path, text: str) -> None:
    """Make the folder; refuse one of something else, or of a run with other settings."""
    file = folder / "settings.json"
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; --workdir has to be a folder.")
    if file.exists():
        if file.read_text() != text:
            raise ValueError(
                f"{folder} holds a run with other settings{differing(file, text)}. Give the same "
                "to go on with it, or another --workdir."
            )
    elif folder.exists() and any(not path.name.startswith(file.name) for path in folder.iterdir()):
        raise ValueError(f"{folder} holds something else than a run. Give another --workdir.")
    else:
        from examples.lora import loop

        folder.mkdir(parents=True, exist_ok=True)
        loop.replace(file, text)


def differing(file: Path, text: str) -> str:
    """Say what differs between the settings in a file and those in a text."""
    try:
        found, now = json.loads(file.read_text()), json.loads(text)
        names = [name for name in now if found[name] != now[name]]
    except (ValueError, KeyError, TypeError):
        return ""
    return ": " + ", ".join(f"{name} {found[name]} (now {now[name]})" for name in names)


def run(typed: argparse.Namespace) -> int:
    """Do what was typed; return the signal that ended the run early, or 0."""
    settings = settings_of(typed)
    check_packages(settings.text)
    from examples.lora import picture, running, runs

    with runs.one_device():
        sources = running.check(settings, typed.base)
        check_folder(typed.workdir, settings.of_run(sources))
        ended_by = running.run(typed.workdir, settings, typed.base, not typed.quiet)
    if not ended_by:
        print(f"drawn in {picture.draw(typed.workdir)}")
    return ended_by


def main() -> None:
    """Run, and say in one line what went wrong."""
    typed = arguments()
    try:
        ended_by = run(typed)
    except KeyboardInterrupt:
        ended_by = signal.SIGINT
    except (ValueError, OSError, ModuleNotFoundError, UsageError, RamieError) as error:
        sys.exit(f"error: {error}")
    if ended_by:
        print("The same command goes on from the last checkpoint.", file=sys.stderr)
        sys.exit(128 + ended_by)


if __name__ == "__main__":
    main()
