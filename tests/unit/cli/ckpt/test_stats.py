"""`ramie ckpt stats`."""

import numpy as np

from ramie import checkpoint


def test_numbers_side_by_side(run, ckpt, page):
    code, out, _ = ckpt("stats", "run/checkpoint_1", "run/checkpoint_2")
    assert code == 0 and out.splitlines()[-1] == "arrays: 2 in both"
    row = next(line.split() for line in out.splitlines() if "kernel" in line)
    assert row[:3] == ["params/Dense_0/kernel", "5.5", "11"] and row[-1] == "1"
    _, found = page("stats", "run/checkpoint_1", "run/checkpoint_2")
    assert found[0]["path"] == ["params", "Dense_0", "kernel"] and found[0]["change"] == 1.0
    assert found[0]["second"]["maximum"] == 22.0


def test_arrays_that_one_lacks(run, ckpt):
    other = checkpoint.save("other", {"params": {"b": np.ones(3)}, "c": np.ones(1)}, 1)
    out = ckpt("stats", "run/checkpoint_1", other)[1]
    assert out.splitlines()[-1] == "arrays: 1 in both, 1 only in A, 1 only in B"
