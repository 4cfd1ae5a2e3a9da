"""Run an example until a signal ends it, at a checkpoint whose number is known.

python -m tests.examples.ended examples.vae 2 KILL --workdir DIR
"""

import importlib
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

from tests.examples import fences


def start(example: str, arguments: list[str], *, at: int = 0, by: str = "KILL") -> tuple[int, str]:
    """Run an example in a process of its own.

    Args:
      example: its module, such as ``examples.vae``.
      arguments: what is typed behind it.
      at: the save during which the signal comes, from 1; 0 for none.
      by: the signal, such as TERM.

    Returns:
      The exit code, and what was printed.
    """
    ended = [sys.executable, "-m", "tests.examples.ended", example, str(at), by]
    done = subprocess.run(
        [*ended, *arguments] if at else [sys.executable, "-m", example, *arguments],
        cwd=fences.ROOT,
        env=fences.plain_environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _signal_at(example: str, at: int, number: int) -> None:
    """Let the signal come in the middle of a save: the older checkpoint is what is left."""
    saving = importlib.import_module(f"{example}.saving")
    save, saves = saving.save, []

    def counted(*args, **kwargs):
        saves.append(1)
        if len(saves) == at:
            os.kill(os.getpid(), number)
        return save(*args, **kwargs)

    saving.save = counted


def _main() -> None:
    example, at, by, *arguments = sys.argv[1:]
    _signal_at(example, int(at), getattr(signal, f"SIG{by}"))
    sys.argv[:] = [str(Path(example)), *arguments]
    runpy.run_module(example, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
