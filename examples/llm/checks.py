"""What is looked at before a run begins, so that a mistake is one line and nothing is changed."""

import dataclasses
import importlib.util
from pathlib import Path

from examples.llm.settings import Settings, UsageError, read

PACKAGES = {"grain": "grain", "orbax": "orbax-checkpoint", "matplotlib": "matplotlib"}


def packages() -> None:
    """Refuse to begin without the packages that this example takes besides Ramie's own.

    Raises:
      UsageError: names those that are missing and what to install.
    """
    missing = [name for top, name in PACKAGES.items() if importlib.util.find_spec(top) is None]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} cannot be imported; install what the examples take with "
            "pip install -e '.[examples]'"
        )


def settings_in(folder: Path) -> Settings | None:
    """Read the sizes of a run that exists.

    Args:
      folder: of the run.

    Returns:
      The settings; None where no run has begun.

    Raises:
      UsageError: the file is damaged, or the folder is none.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--workdir {folder} is a file; give a folder.")
    file = folder / "settings.json"
    if not file.exists():
        return None
    try:
        return read(file.read_text())
    except UsageError as error:
        raise UsageError(f"{file} cannot be read ({error}); give another --workdir.") from error


def same_settings(folder: Path, found: Settings, given: Settings) -> None:
    """Refuse to go on with other sizes than the run began with.

    Args:
      folder: of the run.
      found: the sizes of the run.
      given: those that were typed.

    Raises:
      UsageError: lists what differs.
    """
    pairs = [
        (field.name, getattr(found, field.name), getattr(given, field.name))
        for field in dataclasses.fields(Settings)
    ]
    other = [f"{name} {old} (now {new})" for name, old, new in pairs if old != new]
    if other:
        raise UsageError(
            f"{folder} holds a run with other sizes: {', '.join(other)}. Give the same sizes to go "
            "on with it, or another --workdir."
        )


def newest(folder: Path) -> int | None:
    """Return the number of steps of a run's last whole checkpoint; None without one."""
    names = [path.name for path in (folder / "checkpoints").glob("*")]
    return max((int(name) for name in names if name.isdecimal()), default=None)


def begin(folder: Path, settings: Settings) -> None:
    """Make the folder of a run, or look whether it holds the same run on the same text.

    Args:
      folder: of the run.
      settings: the sizes.

    Raises:
      UsageError: says what differs, or why the folder cannot be written.
    """
    from examples.llm import text

    found = settings_in(folder)
    if found is not None:
        same_settings(folder, found, settings)
    everything = text.read()
    held_out = len(everything) - text.held_out_from(everything)
    if settings.length >= held_out:
        raise UsageError(
            f"length {settings.length} is too long: the text that is held out has {held_out} bytes."
        )
    file, now = folder / "text.txt", text.fingerprint(everything)
    if file.exists() and file.read_text() != now:
        raise UsageError(
            f"{folder} was trained on another text ({file.read_text()}; now {now}). The text is "
            "the library of the Python that runs: go on with the same Python, or give another "
            "--workdir."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(now)
        (folder / "settings.json").write_text(settings.text())
    except OSError as error:
        raise UsageError(f"--workdir {folder} cannot be written: {error}") from error
