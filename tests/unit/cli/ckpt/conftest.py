"""A run to look at, and the command as a function."""

import json

import numpy as np
import pytest

from ramie import checkpoint
from ramie.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A folder with steps 1 and 2, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    for step in (1, 2):
        params = {"Dense_0": {"kernel": np.arange(12.0).reshape(3, 4) * step}, "b": np.zeros(2)}
        checkpoint.save("run", {"params": params, "step": step}, step, keep=0)
    return tmp_path / "run"


@pytest.fixture
def ckpt(capsys):
    """Call `ramie ckpt`; return the exit code, what was printed, and what was said of errors."""

    def call(*words):
        try:
            code = main(["ckpt", *map(str, words)])
        except SystemExit as stop:
            code = stop.code
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@pytest.fixture
def page(ckpt):
    """Call it with `--json`; return the exit code and the page."""

    def call(*words):
        code, out, err = ckpt(*words, "--json")
        assert err == ""
        return code, json.loads(out)

    return call
