"""Learn to act by trying, with proximal policy optimisation: ``python -m examples.ppo``.

The run is a folder. A run that was ended in any way goes on when the same command is given again.
"""

import argparse
import dataclasses
import importlib.util
import json
import signal
import sys
from pathlib import Path

from examples.ppo.settings import ATARI, EXAMPLE, PRESETS, Settings

from ramie.errors import RamieError

NEEDED = ("gymnasium", "matplotlib")
FOR_ATARI = ("ale-py",)


def arguments() -> argparse.Namespace:
    """Read what was typed."""
    parser = argparse.ArgumentParser(
        prog=f"python -m examples.{EXAMPLE}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workdir", type=Path, default=Path("ppo-run"), help="folder of the run")
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help=f"numbers to begin with; default: atari if --env begins with {ATARI}, else small",
    )
    for field in dataclasses.fields(Settings):
        kind = type(field.default)
        parser.add_argument(f"--{field.name}", type=kind, help=f"default: {field.default}")
    parser.add_argument("--quiet", action="store_true", help="print nothing on the way")
    parser.add_argument(
        "--play", nargs="+", metavar="SEED", help="play an episode with each seed, with a run"
    )
    return parser.parse_args()


def settings_of(typed: argparse.Namespace) -> Settings:
    """Take the preset, and what was typed instead of its numbers."""
    names = [field.name for field in dataclasses.fields(Settings)]
    changes = {name: getattr(typed, name) for name in names if getattr(typed, name) is not None}
    preset = typed.preset or ("atari" if (typed.env or "").startswith(ATARI) else "small")
    return dataclasses.replace(PRESETS[preset], **changes)


def settings_in(folder: Path) -> Settings:
    """Return the settings of the run in a folder."""
    try:
        found = json.loads((folder / "settings.json").read_text())
        if found.pop("example") == EXAMPLE:
            return Settings(**found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # whatever it is, it is none of ours
    raise ValueError(f"{folder} holds no run of this example. Train one first, without --play.")


def seeds_in(typed: list[str]) -> list[int]:
    """Read seeds."""
    wrong = [text for text in typed if not (text.isascii() and text.isdigit() and len(text) < 10)]
    if wrong:
        raise ValueError(f"--play takes seeds, which are whole numbers below 10**9, not {wrong[0]}")
    return [int(text) for text in typed]


def check_packages(settings: Settings) -> None:
    """Refuse to begin what would fail later for want of a package."""
    needed = (*NEEDED, *(FOR_ATARI if settings.atari else ()))
    missing = [name for name in needed if not importlib.util.find_spec(name.replace("-", "_"))]
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
        from examples.ppo import running

        folder.mkdir(parents=True, exist_ok=True)
        running.replace(file, settings.text())


def run(typed: argparse.Namespace) -> int:
    """Do what was typed; return the signal that ended the run early, or 0."""
    settings = settings_in(typed.workdir) if typed.play else settings_of(typed)
    check_packages(settings)
    if typed.play:
        from examples.ppo import running

        found = running.play(typed.workdir, settings, seeds_in(typed.play))
        print("\n".join(f"{seed}: {result}" for seed, result in found))
        return 0
    from examples.ppo import environments

    spaces = environments.spaces(settings)
    check_folder(typed.workdir, settings)
    from examples.ppo import picture, running

    ended_by = running.train(typed.workdir, settings, spaces, not typed.quiet)
    if not ended_by:
        print(f"drawn in {picture.draw(typed.workdir, settings, spaces)}")
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
