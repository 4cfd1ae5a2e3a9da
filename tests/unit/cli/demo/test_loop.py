"""A run, its continuation, and the work directories it refuses."""

import dataclasses
import os

import jax
import pytest
from tests.tolerance import assert_exact

from ramie.cli import demo
from ramie.cli.demo import pictures
from ramie.cli.demo.loop import DivergedError
from ramie.cli.demo.resume import WorkdirError
from ramie.cli.demo.settings import Settings, SettingsError
from ramie.training import checkpoints

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A work directory with two epochs, and the results of the run that made it."""
    settings = Settings(workdir=tmp_path_factory.mktemp("run"), epochs=2, batch_size=256)
    return settings, demo.run(settings)


@pytest.fixture
def unseen(monkeypatch):
    """Skip the drawing, which takes longer than these trainings do."""
    monkeypatch.setattr(pictures, "draw_all", lambda *args: [])


def but(settings, **changes):
    return dataclasses.replace(settings, **changes)


def copy_of(settings, tmp_path):
    """The same run in a directory of the test's own."""
    target = but(settings, workdir=tmp_path)
    target.checkpoint_dir.mkdir()
    for path in settings.saved_checkpoints():
        (target.checkpoint_dir / path.name).write_bytes(path.read_bytes())
    return target


def test_leaves_checkpoints_and_pictures(trained):
    settings, results = trained
    assert results.progress.epochs == 2 and results.predictions.shape == (360,)
    assert [path.name for path in settings.saved_checkpoints()] == ["checkpoint_1", "checkpoint_2"]
    assert {"curves.png", "predictions.png"} <= set(os.listdir(settings.workdir))


def test_says_what_it_does(trained, capsys):
    settings, results = trained
    demo.run(settings)
    shown = capsys.readouterr().out
    assert "All 2 epochs are trained already" in shown
    assert f"{100 * results.progress.history.test_accuracy[-1]:.2f} %" in shown
    assert "Results by epoch" in shown and str(settings.workdir / "curves.png") in shown


def test_more_epochs_continue_as_if_never_stopped(unseen, trained, tmp_path, capsys):
    settings, _ = trained
    in_two = demo.run(but(copy_of(settings, tmp_path), epochs=3))
    shown = capsys.readouterr().out
    assert "Resuming after epoch 2 of 3" in shown and "epoch 3/3: train loss" in shown
    at_once = demo.run(but(settings, workdir=tmp_path / "at-once", epochs=3))
    for one, other in zip(
        jax.tree.leaves(in_two.progress.state),
        jax.tree.leaves(at_once.progress.state),
        strict=True,
    ):
        assert_exact(one, other)
    assert in_two.progress.history == at_once.progress.history


def test_the_other_api_resumes_as_well(unseen, tmp_path, capsys):
    settings = Settings(workdir=tmp_path / "a", epochs=1, batch_size=512, api="nnx")
    demo.run(settings)
    in_two = demo.run(but(settings, epochs=2))
    assert "Resuming after epoch 1 of 2" in capsys.readouterr().out
    at_once = demo.run(but(settings, epochs=2, workdir=tmp_path / "b"))
    assert in_two.progress.history == at_once.progress.history


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", 1), ("batch_size", 128), ("learning_rate", 0.1), ("api", "nnx")],
)
def test_a_workdir_of_other_settings_is_refused(trained, name, value):
    settings, _ = trained
    with pytest.raises(SettingsError, match="was started with") as caught:
        demo.run(but(settings, **{name: value}))
    assert caught.value.name == name
    assert str(getattr(settings, name)) in str(caught.value)


def test_fewer_epochs_than_made_are_refused(trained):
    with pytest.raises(SettingsError, match="has made 2 already"):
        demo.run(but(trained[0], epochs=1))


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="at most 1437, the number of training images"):
        demo.run(Settings(workdir=tmp_path, batch_size=1438))


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"\xc1" * 9],
    ids=["cut", "empty", "noise"],
)
def test_a_damaged_newest_checkpoint_is_named_with_the_way_out(unseen, trained, tmp_path, damage):
    settings = copy_of(trained[0], tmp_path)
    newest = settings.saved_checkpoints()[-1]
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.raises(WorkdirError, match=r"go on from checkpoint_1, or choose another") as caught:
        demo.run(settings)
    assert str(newest) in str(caught.value)
    newest.unlink()
    assert demo.run(settings).progress.history == trained[1].progress.history


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    settings = Settings(workdir=tmp_path)
    checkpoints.save_checkpoint(settings.checkpoint_dir, {"weights": [1.0]}, step=3)
    with pytest.raises(WorkdirError, match="was not written by this demo"):
        demo.run(settings)


def test_a_checkpoint_of_another_network_is_refused(trained, tmp_path):
    settings = but(trained[0], workdir=tmp_path)
    content = checkpoints.restore_checkpoint(trained[0].checkpoint_dir, target=None)
    content["state"]["params"]["Dense_2"] = content["state"]["params"].pop("Dense_1")
    checkpoints.save_checkpoint(settings.checkpoint_dir, content, step=1)
    with pytest.raises(WorkdirError, match="another network or optimizer"):
        demo.run(settings)


def test_a_loss_that_is_no_number_stops_the_run_and_is_not_saved(tmp_path):
    settings = Settings(workdir=tmp_path, epochs=2, batch_size=256, learning_rate=1e30)
    with pytest.raises(DivergedError, match="learning rate 1e\\+30 is too high"):
        demo.run(settings)
    assert settings.saved_checkpoints() == []
