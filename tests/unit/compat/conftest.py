"""Programs run in a fresh interpreter: an import hook is a property of the whole process."""

import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a program (or `python` arguments) and gives back its result."""

    def _run(source="", *, arguments=None):
        command = arguments if arguments is not None else ["-c", textwrap.dedent(source)]
        return subprocess.run(
            [sys.executable, "-W", "error", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return _run


@pytest.fixture
def passes(run):
    """Return a function that runs a program and fails with its own traceback."""

    def _passes(source):
        result = run(source)
        assert result.returncode == 0, result.stderr

    return _passes
