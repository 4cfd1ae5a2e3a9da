"""What is on disk: directories, contents, differences; and the one way to remove."""

import math
import os

import jax
import numpy as np
import pytest
from tests.listing import names

from ramie import checkpoint, errors


def damage(path):
    with open(path, "r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))


def content_of(folder):
    return {
        os.path.join(place, name): (os.path.getmtime(os.path.join(place, name)))
        for place, _, found in os.walk(folder)
        for name in found
    }


def test_a_directory_is_listed_by_prefix_and_step(tmp_path):
    for step in (2, 10, 1.5):
        checkpoint.save(tmp_path, {"a": np.zeros(3)}, step, keep=0, overwrite=step == 1.5)
    checkpoint.save(tmp_path, {"a": 1}, -3, prefix="best_x2_")
    for name in ("notes.txt", "checkpoint_5.bak", "7", "checkpoint_"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "orbax_4").mkdir()
    (tmp_path / "orbax_4" / "_METADATA").write_bytes(bytes(10))
    found = checkpoint.survey(tmp_path)
    assert [(item.prefix, item.step, item.form) for item in found] == [
        ("", 7, "file"),
        ("best_x2_", -3, "file"),
        ("checkpoint_", 1.5, "file"),
        ("orbax_", 4, "directory"),
    ]
    assert found[3].nbytes == 10 and found[2].nbytes == os.path.getsize(found[2].path)
    assert found[2].modified == os.path.getmtime(found[2].path) and found[2].health is None
    assert [item.step for item in checkpoint.survey(tmp_path, "orbax_")] == [4]
    with pytest.raises(errors.CheckpointNotFoundError, match="There is no 'none'"):
        checkpoint.survey(tmp_path / "none")


def test_metrics_and_health_are_listed(tmp_path):
    metrics = {"eval": {"loss": 0.5, "best": np.float32(2)}, "lr": np.array(3.0), "no": "text"}
    for step in (1, 2):
        checkpoint.save(tmp_path, {"w": np.ones(9), "metrics": metrics}, step, keep=0)
    damage(tmp_path / "checkpoint_1")
    before = content_of(tmp_path)
    seen = []
    first, second = checkpoint.survey(
        tmp_path, health=True, progress=lambda *state: seen.append(state)
    )
    assert (first.health.state, second.health.state) == ("damaged", "intact")
    assert second.metrics == {"eval": {"loss": 0.5, "best": 2.0}, "lr": 3.0}
    size = second.nbytes
    assert [done for _, done, _ in seen] == [0, size, 2 * size]
    assert {total for _, _, total in seen} == {2 * size}
    assert [name for name, _, _ in seen] == ["checkpoint_1", "checkpoint_2", ""]
    assert content_of(tmp_path) == before
    (tmp_path / "checkpoint_3").write_bytes(b"no checkpoint")
    assert checkpoint.survey(tmp_path)[2].metrics == {}


def test_a_file_is_described(tmp_path):
    tree = {
        "w": np.array([[1.0, np.nan], [0.0, 3.0]]),
        "h": np.array([1, 2], "bfloat16"),
        "z": np.array([1j]),
        "key": jax.random.key(0),
        "step": 3,
    }
    found = checkpoint.describe(checkpoint.save(tmp_path, tree, 1))
    assert (found.n_arrays, found.n_elements, found.nbytes) == (4, 4 + 2 + 1 + 2, 32 + 4 + 16 + 8)
    assert found.statistics == {}
    found = checkpoint.describe(tmp_path / "checkpoint_1", statistics=True)
    assert found.statistics.keys() == {("h",), ("w",)}
    w = found.statistics[("w",)]
    assert (w.minimum, w.maximum, w.zeros, w.not_finite) == (0.0, 3.0, 1, 1)


def test_the_largest_numbers_do_not_overflow_loudly(tmp_path):
    huge = np.array([1.7e308, -1.7e308])
    found = checkpoint.diff(*saved_pair(tmp_path, {"w": huge}, {"w": -huge}))
    assert found.changed[0].largest == math.inf


def saved_pair(folder, one, two):
    return checkpoint.save(folder, one, 1, keep=0), checkpoint.save(folder, two, 2, keep=0)


def test_equal_trees_are_the_same_whatever_the_format(tmp_path):
    tree = {
        "w": np.array([1.0, np.nan, -0.0]),
        "n": None,
        "x": float("nan"),
        "k": jax.random.key(1),
    }
    assert checkpoint.diff(*saved_pair(tmp_path, tree, tree)).same
    plain = {"w": tree["w"], "n": None, "s": "text", "e": {}, "b": np.array([True])}
    one, _ = saved_pair(tmp_path / "plain", plain, plain)
    other = checkpoint.convert(one, tmp_path / "m.safetensors")
    found = checkpoint.diff(one, other)
    assert found.same and found.n_same == 5


def test_differences_are_told_leaf_by_leaf(tmp_path):
    one = {
        "gone": 1,
        "shape": np.zeros(2),
        "dtype": np.zeros(2, "f4"),
        "kind": {"a": 1},
        "value": 1,
        "type": 1,
        "numbers": np.array([1.0, 2.0, 3.0, np.nan]),
        "inf": np.array([np.inf, 1.0]),
        "bits": np.array([True, False]),
        "text": np.array(["a", "b"]),
        "half": np.array([1, 2], "bfloat16"),
        "key": jax.random.key(0),
    }
    two = one | {
        "new": 1,
        "shape": np.zeros(3),
        "dtype": np.zeros(2),
        "kind": 3,
        "value": 2,
        "type": 1.0,
        "numbers": np.array([1.0, 2.5, 2.0, np.nan]),
        "inf": np.array([np.inf, np.nan]),
        "bits": np.array([True, True]),
        "text": np.array(["a", "c"]),
        "half": np.array([1, 4], "bfloat16"),
        "key": jax.random.key(0, impl="rbg"),
    }
    del two["gone"]
    found = checkpoint.diff(*saved_pair(tmp_path, one, two))
    assert not found.same and found.n_same == 0
    assert sorted(found.only_first) == [("gone",), ("kind", "a")]
    assert sorted(found.only_second) == [("kind",), ("new",)]
    changed = {change.path[0]: change[1:] for change in found.changed}
    assert changed == {
        "shape": ("float64[2]", "float64[3]", None, None, None),
        "dtype": ("float32[2]", "float64[2]", None, None, None),
        "value": ("1", "2", None, None, None),
        "type": ("1", "1.0", None, None, None),
        "numbers": ("float64[4]", "float64[4]", 2, 1.0, 1.5 / 4),
        "inf": ("float64[2]", "float64[2]", 1, math.inf, math.inf),
        "bits": ("bool[2]", "bool[2]", 1, 1.0, 0.5),
        "text": ("str32[2]", "str32[2]", 1, None, None),
        "half": ("bfloat16[2]", "bfloat16[2]", 1, 2.0, 1.0),
        "key": ("uint32[2]", "uint32[4]", None, None, None),
    }


def test_pruning_keeps_the_newest_that_are_intact(tmp_path):
    for step in range(1, 7):
        checkpoint.save(tmp_path, {"w": np.ones(9)}, step, keep=0)
    damage(tmp_path / "checkpoint_5")
    before = content_of(tmp_path)
    planned = checkpoint.prune(tmp_path, 2, dry_run=True)
    assert content_of(tmp_path) == before
    assert checkpoint.prune(tmp_path, 2) == planned
    assert [os.path.basename(path) for path in planned.removed] == [
        f"checkpoint_{step}" for step in (1, 2, 3)
    ]
    assert planned.damaged == [str(tmp_path / "checkpoint_5")]
    assert names(tmp_path) == ["checkpoint_4", "checkpoint_5", "checkpoint_6"]
    assert checkpoint.verify(tmp_path / "checkpoint_4").state == "intact"
    assert not (tmp_path / ".checkpoint_1.ramie.json").exists()


def test_pruning_lets_some_steps_stay(tmp_path):
    for step in range(1, 8):
        checkpoint.save(tmp_path, {"w": 1}, step, keep=0)
    checkpoint.save(tmp_path, {"w": 1}, 1, prefix="best_")
    checkpoint.prune(tmp_path, 1, keep_every_n_steps=3)
    assert names(tmp_path) == ["best_1", "checkpoint_1", "checkpoint_4", "checkpoint_7"]
    with pytest.raises(errors.CheckpointOptionError, match="at least one"):
        checkpoint.prune(tmp_path, 0)
    with pytest.raises(errors.CheckpointOptionError, match="leads out"):
        checkpoint.prune(tmp_path, 1, prefix="../x_")
    with pytest.raises(errors.CheckpointNotFoundError):
        checkpoint.prune(tmp_path / "none", 1)
