"""Entries that are called like checkpoints and are none: listed with what is wrong."""

import os

import pytest

from ramie import checkpoint
from ramie.checkpoint.series import others
from ramie.checkpoint.series.others import find_others
from ramie.checkpoint.series.steps import split_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("10", ("", 10)),
        ("00000010", ("", 10)),
        ("-3", ("", -3)),
        ("1.5", ("", 1.5)),
        ("1e2", ("", 100.0)),
        ("checkpoint_1e2", ("checkpoint_", 100.0)),
        ("checkpoint_-3", ("checkpoint_", -3)),
        ("step_00000010", ("step_", 10)),
        ("a1_5", ("a1_", 5)),
        ("notes.txt", None),
        ("checkpoint_", None),
        (".hidden_5", None),
        ("", None),
    ],
)
def test_a_name_is_a_prefix_and_the_longest_number(name, expected):
    assert split_name(name) == expected


def test_whatever_is_no_checkpoint_is_listed_beside_those_of_its_prefix(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, {"a": 1}, 1, prefix="")
    (tmp_path / "2").mkdir()
    (tmp_path / "3").symlink_to("nowhere")
    (tmp_path / "4").symlink_to("4")
    os.mkfifo(tmp_path / "5")
    (tmp_path / "6").mkdir()
    (tmp_path / "7.orbax-checkpoint-tmp-99").mkdir()
    (tmp_path / "run_8").mkdir()
    (tmp_path / "9.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "notes").mkdir()
    list_directory = os.listdir

    def listed(path):
        if os.fspath(path).endswith("6"):
            raise PermissionError(13, "Permission denied")
        return list_directory(path)

    monkeypatch.setattr(others.os, "listdir", listed)
    found = find_others(str(tmp_path), {""}, {str(tmp_path / "1")})
    assert [(item.step, item.kind) for item in found] == [
        (2, "foreign"),
        (3, "foreign"),
        (4, "foreign"),
        (5, "foreign"),
        (6, "unreadable"),
        (7, "unfinished"),
        (9, "unfinished"),
    ]
    assert all(item.problem for item in found) and found[4].problem == "Permission denied"
    alone = find_others(str(tmp_path), {"run_"}, ())
    assert [item.prefix for item in alone if item.kind == "foreign"] == ["run_"]


def test_a_survey_goes_on_after_an_odd_entry(tmp_path, monkeypatch):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, {"a": 1}, step, keep=0)
    (tmp_path / "checkpoint_4").mkdir()
    (tmp_path / "checkpoint_5.orbax-checkpoint-tmp").mkdir()
    from ramie.checkpoint.inspecting import health

    verify = health.verify

    def fails_for_two(path):
        if str(path).endswith("_2"):
            raise PermissionError(13, "Permission denied", path)
        return verify(path)

    monkeypatch.setattr(health, "verify", fails_for_two)
    found = checkpoint.survey(tmp_path, health=True)
    assert [(item.step, item.form) for item in found] == [
        (1, "file"),
        (2, "unreadable"),
        (3, "file"),
    ]
    assert "Permission denied" in found[1].problem and found[1].health is None
    found = checkpoint.survey(tmp_path, others=True)
    assert [(item.step, item.form) for item in found[3:]] == [(4, "foreign"), (5, "unfinished")]
    os.unlink(tmp_path / "checkpoint_3")
    assert checkpoint.newest_intact(tmp_path) == str(tmp_path / "checkpoint_1")
    pruned = checkpoint.prune(tmp_path, 1, dry_run=True)
    assert pruned.damaged == [str(tmp_path / "checkpoint_2")]
    assert pruned.kept == [str(tmp_path / "checkpoint_1")]
