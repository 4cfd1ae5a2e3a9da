"""One program, unchanged, on Flax and on Ramie."""

import subprocess
import sys
from pathlib import Path

import pytest

flax = pytest.importorskip("flax")

PROGRAM = Path(__file__).resolve().parents[3] / "examples" / "flax_program.py"


def _output(*arguments):
    result = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_program_prints_the_same_on_both():
    on_flax = _output(str(PROGRAM))
    on_ramie = _output("-m", "ramie.compat", str(PROGRAM))
    assert on_flax[0].endswith("by flax") and on_ramie[0].endswith("by ramie")
    assert on_flax[1:] == on_ramie[1:]


def test_the_version_is_the_newest_one_that_was_compared():
    """Flax 0.12.12 needs Python 3.12; an older Python has its last release before that."""
    from ramie.compat.version import __version__

    theirs, ours = [tuple(map(int, v.split("."))) for v in (flax.__version__, __version__)]
    assert theirs == ours if sys.version_info >= (3, 12) else theirs < ours
