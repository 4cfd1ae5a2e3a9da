"""`ramie ckpt rm`: asks, or is told not to; what else has the step stays."""

import io
import sys

import numpy as np
import pytest

from ramie import checkpoint


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_it_asks(run, ckpt, monkeypatch):
    code, out, err = ckpt("rm", run, 1)
    assert (code, out) == (2, "") and "confirm it by --yes" in err
    for answer, left in (("n\n", [1, 2]), ("", [1, 2]), ("y\n", [2])):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        code, out, err = ckpt("rm", run, 1)
        assert code == 0 and "[y/N]" in err
        assert out.startswith("removed" if left == [2] else "nothing was removed")
        assert checkpoint.available_steps(run) == left


def test_yes_and_dry_run(run, ckpt, page):
    code, out, _ = ckpt("rm", run, 1, "--dry-run")
    assert code == 0 and out == f"would be removed: {run}/checkpoint_1\n"
    assert page("rm", run, 1, "--dry-run")[1]["removed"] == []
    assert checkpoint.available_steps(run) == [1, 2]
    gone = f"{run}/checkpoint_1"
    assert page("rm", run, 1, "--yes") == (0, {"dry_run": False, "removed": [gone], "path": gone})
    assert checkpoint.available_steps(run) == [2]


def test_prefixes(run, ckpt):
    checkpoint.save(run, {"w": np.ones(2)}, 2, prefix="model_")
    checkpoint.save(run, {"w": np.ones(2)}, 7, prefix="other_")
    code, _, err = ckpt("rm", run, 2, "--yes")
    assert code == 2 and "choose one by --prefix: 'checkpoint_', 'model_'" in err
    assert ckpt("rm", run, 2, "--prefix", "model_", "--yes")[0] == 0
    assert ckpt("rm", run, 7, "--yes")[1] == f"removed: {run}/other_7\n"
    assert checkpoint.available_steps(run) == [1, 2]


@pytest.mark.parametrize("step", ["9", "nan", "first"])
def test_no_such_step(run, ckpt, step):
    code, out, err = ckpt("rm", run, step, "--yes")
    assert (code, out) == (2, "") and "Traceback" not in err
    assert len(err.splitlines()[-1]) > 20
