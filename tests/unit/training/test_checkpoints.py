"""The documented functions on top of the engine."""

import subprocess
import sys

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
    restored = checkpoints.restore_checkpoint(tmp_path, {"a": jnp.zeros(1)}, 3, "t_")
    assert_exact(restored["a"], np.arange(3, dtype=np.int32))
    with pytest.raises(errors.InvalidCheckpointError):
        checkpoints.save_checkpoint(tmp_path, {}, 4, "t_", 1)
    checkpoints.save_checkpoint(tmp_path, {}, 0, "t_", 1, True)
    assert checkpoints.available_steps(tmp_path, "t_") == [0]


def test_one_process_saves_alone(tmp_path):
    save = checkpoints.save_checkpoint_multiprocess
    path = save(tmp_path, {"a": 1}, 3, keep_every_n_steps=2, gda_manager=object())
    assert checkpoints.restore_checkpoint(path, None, parallel=False) == {"a": 1}


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
