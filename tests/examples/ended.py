"""Run an example until a signal ends it, at a checkpoint whose number is known.

All runs are in processes with the defaults of JAX, so that results can be compared bit by bit.
"""

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys

from tests.examples import fences


def start(example: str, *runs: tuple[list[str], int, str]) -> tuple[int, str]:
    """Run an example, several times one after the other in a process of its own.

    Args:
      example: its module, such as ``examples.vae``.
      *runs: of each run what is typed, the save during which a signal comes (from 1; 0 for none),
        and the name of the signal. After KILL there is no further run.

    Returns:
      The exit code of the last run, and what was printed, with the exit code of each run.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.examples.ended", example, json.dumps(runs)],
        cwd=fences.ROOT,
        env=fences.plain_environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _signal_at(example: str, at: int, number: int) -> None:
    """Let the signal come when a save begins, so that the older checkpoint is what is left."""
    saving = importlib.import_module(f"{example}.saving")
    save, saves = getattr(saving.save, "__wrapped__", saving.save), []

    def counted(*args, **kwargs):
        saves.append(1)
        if len(saves) == at:
            os.kill(os.getpid(), number)
        return save(*args, **kwargs)

    counted.__wrapped__ = save
    saving.save = counted


def _main() -> None:
    example, runs = sys.argv[1], json.loads(sys.argv[2])
    for arguments, at, by in runs:
        if at:
            _signal_at(example, at, getattr(signal, f"SIG{by}"))
        sys.argv[:] = [example, *arguments]
        code = 0
        try:
            runpy.run_module(f"{example}.__main__", run_name="__main__", alter_sys=True)
        except SystemExit as leaving:
            if isinstance(leaving.code, str):
                print(leaving.code, flush=True)
            code = leaving.code if isinstance(leaving.code, int) else 1
        print(f"exit code {code}", flush=True)
    sys.exit(code)


if __name__ == "__main__":
    _main()
