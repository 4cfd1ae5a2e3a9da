"""The documented functions on top of the engine."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import errors
from ramie.training import checkpoints
from ramie.trees.frozen import FrozenDict


def test_positional_arguments_as_documented(tmp_path):
    for step in range(5):
        path = checkpoints.save_checkpoint(tmp_path, {"a": jnp.arange(step)}, step, "t_", 2)
    assert path == str(tmp_path / "t_4")
    assert checkpoints.latest_checkpoint(tmp_path, "t_") == path
    assert checkpoints.available_steps(tmp_path, "t_") == [3, 4]
    restored = checkpoints.restore_checkpoint(tmp_path, {"a": jnp.zeros(3, int)}, 3, "t_")
    assert_exact(restored["a"], np.arange(3, dtype=np.int32))
    with pytest.raises(errors.InvalidCheckpointError):
        checkpoints.save_checkpoint(tmp_path, {}, 4, "t_", 1)
    checkpoints.save_checkpoint(tmp_path, {}, 0, "t_", 1, True)
    assert checkpoints.available_steps(tmp_path, "t_") == [0]


def test_one_process_saves_alone(tmp_path):
    save = checkpoints.save_checkpoint_multiprocess
    path = save(tmp_path, {"a": 1}, 3, keep_every_n_steps=2, gda_manager=object())
    assert checkpoints.restore_checkpoint(path, None, parallel=False) == {"a": 1}


def test_misfits_come_as_saved_with_one_warning_or_are_refused(tmp_path):
    saved = {"w": np.ones((2, 3)), "b": np.ones(3, np.float32), "step": 0.5, "more": "x"}
    checkpoints.save_checkpoint(tmp_path, saved, 1)
    target = {"w": np.zeros((3, 3)), "b": jnp.zeros(3, jnp.bfloat16), "step": 0}
    with pytest.warns(UserWarning) as caught:
        restored = checkpoints.restore_checkpoint(tmp_path, target)
    (warning,) = caught
    assert warning.filename == __file__
    lines = (
        "./w: (3, 3) wanted, (2, 3) found",
        "./b: bfloat16 wanted, float32 found",
        "./step: int wanted, float found",
    )
    for line in (*lines, "checkpoint_1", "strict=True"):
        assert line in str(warning.message)
    assert_exact(restored["w"], saved["w"])
    assert_exact(restored["b"], saved["b"])
    assert restored["step"] == 0.5 and "more" not in restored
    with pytest.raises(errors.CheckpointMismatchError) as refused:
        checkpoints.restore_checkpoint(tmp_path, target, strict=True)
    for line in lines:
        assert line in str(refused.value)
    fits = {"w": jax.ShapeDtypeStruct((2, 3), np.float64), "b": None, "step": 0.0}
    assert checkpoints.restore_checkpoint(tmp_path, fits, strict=True)["step"] == 0.5


def test_a_long_list_of_misfits_is_shown_in_part_and_refused_in_full(tmp_path):
    checkpoints.save_checkpoint(tmp_path, {f"w{i}": np.ones(2) for i in range(100)}, 1)
    target = {f"w{i}": np.zeros(3) for i in range(100)}
    with pytest.warns(UserWarning, match="and 62 more; strict=True lists them all") as caught:
        checkpoints.restore_checkpoint(tmp_path, target)
    assert str(caught[0].message).count("wanted") == 38
    with pytest.raises(errors.CheckpointMismatchError) as refused:
        checkpoints.restore_checkpoint(tmp_path, target, strict=True)
    assert len(refused.value.shapes) == 100


def test_without_a_checkpoint_the_target_comes_back_unless_one_must_exist(tmp_path):
    target = {"a": 0}
    assert checkpoints.restore_checkpoint(tmp_path, target) is target
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(errors.CheckpointNotFoundError, match="none at all"):
            checkpoints.restore_checkpoint(place, target, must_exist=True)
    checkpoints.save_checkpoint(tmp_path, {"a": 1}, 1)
    assert checkpoints.restore_checkpoint(tmp_path, target, must_exist=True) == {"a": 1}


def test_steps_are_returned_as_the_type_asked_for(tmp_path):
    for name in ("c_1", "c_2.0", "c_1e3"):
        (tmp_path / name).touch()
    assert checkpoints.available_steps(tmp_path, "c_") == [1, 2, 1000]
    as_floats = checkpoints.available_steps(tmp_path, "c_", step_type=float)
    assert as_floats == [1.0, 2.0, 1000.0]
    assert all(type(step) is float for step in as_floats)
    (tmp_path / "c_0.5").touch()
    with pytest.raises(errors.CheckpointOptionError, match="pass float"):
        checkpoints.available_steps(tmp_path, "c_")


def test_modules_saved_before_linen_are_counted_by_class():
    old = {
        "mod_0": {"sub1_0": {}, "sub2_1": {}, "sub1_2": {}},
        "mod2_2": {"sub2_2_0": {}},
        "mod2_11": {"sub2_11_0": {}},
        "mod2_1": {"sub2_1_0": {"kernel": 1}},
        "plain": [1],
    }
    new = {
        "mod_0": {"sub1_0": {}, "sub1_1": {}, "sub2_0": {}},
        "mod2_0": {"sub2_1_0": {"kernel": 1}},
        "mod2_1": {"sub2_2_0": {}},
        "mod2_2": {"sub2_11_0": {}},
        "plain": [1],
    }
    assert checkpoints.convert_pre_linen(old) == new
    assert checkpoints.convert_pre_linen(new) == new
    assert isinstance(checkpoints.convert_pre_linen(FrozenDict(old)), FrozenDict)


def test_importing_is_cheap():
    heavy = [
        "orbax",
        "tensorstore",
        "tensorflow",
        "optax",
        "rich",
        "treescope",
        "xxhash",
        "fsspec",
        "torch",
    ]
    code = (
        "import sys, ramie.training.checkpoints;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert printed.stdout.strip() == b"[]"
