"""Leaves below a path, and sums below a depth."""

import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import checkpoint
from ramie.errors import CheckpointOptionError


@pytest.fixture
def path(tmp_path):
    tree = {
        "params": {"a": {"w": np.ones((2, 3)), "b": np.zeros(4, np.float32), "n": 1}, "ab": 2.0},
        "step": 3,
    }
    return checkpoint.save(tmp_path, tree, 1)


def test_describe_of_a_subtree(path):
    found = checkpoint.describe(path, "params/a")
    names = ["/".join(leaf.path) for leaf in found.outline.leaves]
    assert names == ["params/a/w", "params/a/b", "params/a/n"]
    assert (found.n_arrays, found.n_elements, found.nbytes) == (2, 10, 64)
    assert found.array is None and found.statistics == {}
    assert len(checkpoint.describe(path, "/").outline.leaves) == 5


def test_describe_of_one_leaf(path):
    found = checkpoint.describe(path, "params/a/w")
    assert_exact(found.array, np.ones((2, 3)))
    assert found.statistics["params", "a", "w"].mean == 1.0
    assert checkpoint.describe(path, "step").array is None
    with pytest.raises(CheckpointOptionError, match="at 'params/a', which has 'w', 'b', 'n'"):
        checkpoint.describe(path, "params/a/v")


def test_sums_below_a_depth(path):
    leaves = checkpoint.outline(path).leaves
    assert checkpoint.collapse(leaves, 1) == [
        checkpoint.Collapsed(("params",), 4, 2, 10, 64),
        leaves[-1],
    ]
    inner, *rest = checkpoint.collapse(leaves, 2)
    assert inner == checkpoint.Collapsed(("params", "a"), 3, 2, 10, 64) and rest == leaves[3:]
    assert checkpoint.collapse(leaves, 3) == leaves
    with pytest.raises(CheckpointOptionError, match="depth 0"):
        checkpoint.collapse(leaves, 0)
