"""Names and steps: what is a checkpoint, in which order, and which names are refused."""

import os
import random

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramie.checkpoint.series import steps
from ramie.checkpoint.storage import entries as storage
from ramie.errors import CheckpointOptionError


@pytest.mark.parametrize(
    "step, name",
    [
        (7, "ckpt_7"),
        (-3, "ckpt_-3"),
        (0.5, "ckpt_0.5"),
        (1e5, "ckpt_100000.0"),
        (1e16, "ckpt_1e+16"),
        (1e-7, "ckpt_1e-07"),
        (np.int32(4), "ckpt_4"),
        (np.float32(0.1), "ckpt_0.10000000149011612"),
        (np.float32(-0.19632871), "ckpt_-0.19632871448993683"),
        (jnp.float32(-0.19632871), "ckpt_-0.19632871448993683"),
        (np.float16(0.1), "ckpt_0.0999755859375"),
        (jnp.bfloat16(0.1), "ckpt_0.10009765625"),
        (np.asarray(0.1, jnp.bfloat16), "ckpt_0.10009765625"),
        (np.float64(0.1), "ckpt_0.1"),
        (np.longdouble(1) / 10, "ckpt_0.1"),
        (np.float32(1), "ckpt_1.0"),
        (np.float32(1e22), "ckpt_9.999999778196308e+21"),
        (np.uint8(3), "ckpt_3"),
        (jnp.int32(5), "ckpt_5"),
        (np.array(6), "ckpt_6"),
    ],
)
def test_a_name_ends_in_the_number_as_it_prints(step, name):
    assert steps.checkpoint_name("ckpt_", step) == name


@pytest.mark.parametrize(
    "step", [float("nan"), float("inf"), "7", "../7", True, None, [1], np.arange(2), 1j]
)
def test_other_steps_are_refused(step):
    with pytest.raises(CheckpointOptionError, match="step"):
        steps.checkpoint_name("ckpt_", step)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_every_float32_is_read_back_and_was_once_spelled_shorter(value):
    step = np.float32(value)
    number, *older = steps.numbers_of(step)
    assert number == value == steps.parse_step(steps.checkpoint_name("", step))
    assert [np.float32(other) for other in older] == [step] * len(older)
    assert steps.parse_step(str(step)) in (number, *older)


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_read_back_from_its_name(step):
    assert steps.parse_step(steps.checkpoint_name("", step)) == step


@pytest.mark.parametrize(
    "text",
    ["", "5.bak", "tmp", "1_000", "0x10", "nan", "inf", "1e999", "٣", " 1", "1\n", "1e", "."],
)
def test_other_endings_are_no_steps(text):
    assert steps.parse_step(text) is None


def test_finds_files_and_directories_named_exactly(tmp_path):
    names = ["ckpt_2", "ckpt_10", "ckpt_-1.5", "ckpt_1e1", "ckpt_.5"]
    for name in [*names, "ckpt_5.bak", "ckpt_best_7", "ckpt_", "ckpt_3_gda", "other_4", "4"]:
        (tmp_path / name).touch()
    (tmp_path / "ckpt_7").mkdir()
    (tmp_path / "ckpt_7" / "_CHECKPOINT_METADATA").touch()
    (tmp_path / "ckpt_6").mkdir()
    (tmp_path / "ckpt_link_target").touch()
    (tmp_path / "ckpt_8").symlink_to(tmp_path / "ckpt_link_target")
    (tmp_path / "ckpt_9").symlink_to(tmp_path / "nowhere")
    (tmp_path / "ckpt_11").symlink_to(tmp_path / "ckpt_11")
    os.mkfifo(tmp_path / "ckpt_12")
    found = steps.find(str(tmp_path), "ckpt_")
    assert [step for step, _, _ in found] == [-1.5, 0.5, 2, 7, 8, 10, 10]
    assert all(os.path.join(tmp_path, name) == path for _, name, path in found)


@pytest.mark.parametrize("prefix", ["run[1]_", "*", "?", "a.b-", "", "ckpt+"])
def test_prefixes_are_literal(tmp_path, prefix):
    (tmp_path / f"{prefix}5").touch()
    (tmp_path / "run1_6").touch()
    assert [found.name for found in steps.find(str(tmp_path), prefix)] == [f"{prefix}5"]


def test_a_missing_directory_has_no_checkpoints(tmp_path):
    (tmp_path / "file").touch()
    assert steps.find(str(tmp_path / "nowhere"), "") == []
    assert steps.find(str(tmp_path / "file"), "") == []


def test_a_checkpoint_that_gives_way_to_another_while_looking_is_not_taken_for_none(
    tmp_path, monkeypatch
):
    (tmp_path / "c_4").touch()
    kind_of = storage.kind_of

    def racing(path):
        if path.endswith("c_4") and os.path.exists(path):
            (tmp_path / "c_0").touch()
            os.unlink(path)
        return kind_of(path)

    monkeypatch.setattr(storage, "kind_of", racing)
    assert [found.name for found in steps.find(str(tmp_path), "c_")] == ["c_0"]
    (tmp_path / "c_7").symlink_to(tmp_path / "nowhere")
    assert [found.name for found in steps.find(str(tmp_path), "c_")] == ["c_0"]


def test_prefixes_may_lead_down_but_not_out():
    assert steps.split_prefix("/runs", "ckpt_") == ("/runs", "ckpt_")
    assert steps.split_prefix("/runs", "a/b/ckpt_") == ("/runs/a/b", "ckpt_")
    assert steps.split_prefix("/runs", "a//") == ("/runs/a", "")
    for prefix in ("../x_", "a/../../x_", "/etc/x_", "x\0", 3, None):
        with pytest.raises(CheckpointOptionError, match="prefix"):
            steps.split_prefix("/runs", prefix)


@pytest.mark.parametrize(
    "names",
    [
        ["f_1", "f_2", "f_10", "f_21"],
        ["f_0.001", "f_0.01", "f_0.1", "f_1"],
        ["f_-3.0", "f_-2", "f_-1", "f_0.0"],
        ["f_1e1", "f_1.0e2", "f_1e3", "f_1.0e4"],
        ["f_1", "f_2", "f_9", "f_1.0e1", "f_11"],
        ["a", "a_-1", "a_.5", "a_1_2", "a_3", "b_2"],
        ["f_9007199254740992", "f_9007199254740993"],
    ],
)
def test_natural_order(names):
    shuffled = list(names)
    random.Random(0).shuffle(shuffled)
    assert steps.natural_sort(shuffled) == names


def test_signs_count_only_if_asked():
    assert steps.natural_sort(["a-1", "a-3", "a-2"]) == ["a-3", "a-2", "a-1"]
    assert steps.natural_sort(["a-1", "a-3", "a2"], signed=False) == ["a-1", "a2", "a-3"]


@given(st.lists(st.text()))
def test_any_names_can_be_sorted(names):
    assert sorted(steps.natural_sort(names)) == sorted(names)
