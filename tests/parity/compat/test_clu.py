"""A published package that is built on Flax runs on Ramie: metrics and overviews of clu."""

import subprocess
import sys
from pathlib import Path

import pytest

from ramie.compat.version import __version__ as answered_version

flax = pytest.importorskip("flax")
pytest.importorskip("clu")

PROGRAM = Path(__file__).with_name("clu_program.py")


def output(*arguments):
    result = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_collections_of_metrics_and_overviews_of_parameters_are_the_same():
    library, *on_flax = output(str(PROGRAM))
    assert library == "flax"
    library, *on_ramie = output("-m", "ramie.compat", str(PROGRAM))
    assert library == "ramie"
    # The last line tells the version: on an older Python that of Flax is older than Ramie's.
    assert on_ramie[:-1] == on_flax[:-1]
    assert on_flax[-1] == f"{flax.__version__} False"
    assert on_ramie[-1] == f"{answered_version} False"
