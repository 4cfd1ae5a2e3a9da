"""Saving by Orbax: in which order things happen, what stays, and what the end of a program does."""

import pytest

pytest.importorskip("orbax.checkpoint")

import gc
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from tests.listing import names
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.checkpoint.storage import entries as storage
from ramie.configurations import config
from ramie.training import checkpoints


@pytest.fixture(autouse=True)
def orbax_saves():
    with config.temp_flip_flag("use_orbax_checkpointing", True):
        yield


@pytest.fixture
def orbax_fails():
    """Let the coroutines go that Orbax leaves behind where it fails: each tells so when it goes."""
    yield
    gc.collect()


def save(folder, value, step, **options):
    return checkpoints.save_checkpoint(folder, {"a": np.full(50, value)}, step, **options)


def value_of(path, **options):
    found = checkpoints.restore_checkpoint(path, None, **options)["a"]
    assert (found == found[0]).all()
    return found[0]


def background_checkpointer():
    return ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler())


def test_steps_only_grow_and_the_newest_stay(tmp_path):
    for step in range(1, 8):
        path = save(tmp_path, step, step, keep=2, keep_every_n_steps=3)
    assert path == str(tmp_path / "checkpoint_7")
    assert names(tmp_path) == [f"checkpoint_{step}" for step in (1, 4, 6, 7)]
    for step in (7, 3):
        with pytest.raises(errors.InvalidCheckpointError):
            save(tmp_path, 0, step)
    save(tmp_path, 0, 4, keep=9, overwrite=True)
    assert names(tmp_path) == ["checkpoint_1", "checkpoint_4"]
    assert value_of(tmp_path) == 0 and value_of(tmp_path, step=1) == 1


def test_nothing_is_removed_before_the_new_one_is_whole(tmp_path, monkeypatch):
    save(tmp_path, 1, 5)
    seen = []

    class Watching(ocp.PyTreeCheckpointHandler):
        def finalize(self, directory):
            seen.append((names(tmp_path)[-1], value_of(tmp_path / "checkpoint_5")))
            super().finalize(directory)

    checkpointer = ocp.Checkpointer(Watching())
    save(tmp_path, 2, 5, overwrite=True, orbax_checkpointer=checkpointer)
    assert seen == [("checkpoint_5", 1)]
    assert value_of(tmp_path) == 2 and names(tmp_path) == ["checkpoint_5"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("orbax_fails")
def test_a_save_that_fails_leaves_everything_as_it_was(tmp_path):
    save(tmp_path, 1, 5)

    class Failing(ocp.PyTreeCheckpointHandler):
        def finalize(self, directory):
            raise OSError("no space left")

    for overwrite, step in ((True, 5), (False, 6)):
        with pytest.raises(OSError, match="no space"):
            checkpointer = ocp.Checkpointer(Failing())
            save(tmp_path, 2, step, overwrite=overwrite, orbax_checkpointer=checkpointer)
        assert names(tmp_path) == ["checkpoint_5"] and value_of(tmp_path) == 1
    manager = checkpoints.AsyncManager()
    checkpointer = ocp.AsyncCheckpointer(Failing())
    save(tmp_path, 2, 7, orbax_checkpointer=checkpointer, async_manager=manager)
    with pytest.raises(OSError, match="no space"):
        manager.wait_previous_save()
    checkpointer = ocp.AsyncCheckpointer(Failing())
    save(tmp_path, 2, 8, orbax_checkpointer=checkpointer)
    with pytest.raises(OSError, match="no space"):
        checkpointer.wait_until_finished()
    assert checkpoints.available_steps(tmp_path) == [5]
    left = [name for name in names(tmp_path) if name.startswith(".ramie")]
    assert left == []


def test_what_is_not_finished_does_not_count(tmp_path):
    save(tmp_path, 1, 5)
    for name in ("checkpoint_9.orbax-checkpoint-tmp", "checkpoint_10", ".ramie-tmp-x.writing"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint_9.orbax-checkpoint-tmp" / "_METADATA").touch()
    assert checkpoints.available_steps(tmp_path) == [5]
    save(tmp_path, 2, 6)
    assert checkpoints.available_steps(tmp_path) == [6]
    assert names(tmp_path)[0] == "checkpoint_10"  # somebody's folder, not ours to remove
    with pytest.raises(errors.UnsupportedCheckpointError, match="which is no checkpoint"):
        save(tmp_path, 3, 10)


def test_relative_folders_are_those_of_the_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (".", "run/./below"):
        assert value_of(save(folder, 1, 1)) == 1 and value_of(folder) == 1
    with ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        save("run", 2, 2, orbax_checkpointer=checkpointer)
    assert value_of("run/checkpoint_2") == 2


def test_formats_replace_each_other_and_live_side_by_side(tmp_path):
    with config.temp_flip_flag("use_orbax_checkpointing", False):
        save(tmp_path, 1, 1)
    save(tmp_path, 2, 2, keep=2)
    assert [value_of(tmp_path, step=step) for step in (1, 2)] == [1, 2]
    save(tmp_path, 3, 1, overwrite=True)
    assert os.path.isdir(tmp_path / "checkpoint_1") and value_of(tmp_path) == 3
    with config.temp_flip_flag("use_orbax_checkpointing", False):
        save(tmp_path, 4, 1, overwrite=True)
    assert os.path.isfile(tmp_path / "checkpoint_1") and value_of(tmp_path) == 4
    assert names(tmp_path) == ["checkpoint_1"]
    assert checkpoint.verify(tmp_path / "checkpoint_1").state == "intact"


def test_values_of_a_save_in_the_background_are_those_of_the_call(tmp_path):
    manager = checkpoints.AsyncManager()
    numbers, on_device = np.ones(1000), jnp.ones(1000)
    tree = {"numbers": numbers, "on_device": on_device}
    path = checkpoints.save_checkpoint(tmp_path, tree, 1, async_manager=manager)
    numbers[:] = 7
    jax.jit(lambda x: x * 0, donate_argnums=0)(on_device)
    manager.wait_previous_save()
    assert manager.save_future.result() == path
    found = checkpoints.restore_checkpoint(path, None)
    assert_exact(found["numbers"], np.ones(1000))
    assert_exact(found["on_device"], np.ones(1000, np.float32))


def test_a_background_checkpointer_is_done_when_it_has_been_waited_for(tmp_path):
    checkpointer = background_checkpointer()
    for step in (1, 2, 3):
        save(tmp_path, step, step, orbax_checkpointer=checkpointer)
    checkpointer.wait_until_finished()
    assert names(tmp_path) == ["checkpoint_3"]
    assert checkpoint.verify(tmp_path / "checkpoint_3").state == "intact"
    # Orbax would delete what it overwrites: so this one is finished before the call returns.
    save(tmp_path, 4, 3, overwrite=True, orbax_checkpointer=checkpointer)
    assert value_of(tmp_path) == 4
    save(tmp_path, 5, 5, orbax_checkpointer=checkpointer)
    assert value_of(tmp_path, orbax_checkpointer=checkpointer) == 5
    checkpointer.close()


def test_the_shorthand_checkpointers_of_orbax_can_be_passed(tmp_path):
    with ocp.StandardCheckpointer() as checkpointer:
        save(tmp_path, 1, 1, orbax_checkpointer=checkpointer)
        assert value_of(tmp_path, orbax_checkpointer=checkpointer) == 1
    with ocp.Checkpointer(ocp.ArrayCheckpointHandler()) as checkpointer:
        checkpointer.save(tmp_path / "array_1", np.arange(3))
        found = checkpoints.restore_checkpoint(
            tmp_path, None, prefix="array_", orbax_checkpointer=checkpointer
        )
    assert_exact(found, np.arange(3))


@pytest.mark.parametrize("in_one_step", [True, False])
def test_directories_are_swapped_in_one_step_or_two(tmp_path, monkeypatch, in_one_step):
    run = tmp_path / "run"
    save(run, 1, 1)
    if not in_one_step:
        monkeypatch.setattr(storage, "exchange", lambda one, other: False)
    save(run, 2, 1, overwrite=True)
    assert names(run) == ["checkpoint_1"] and value_of(run) == 2
    if in_one_step:
        return
    rename = os.rename

    def dying(source, destination):
        if destination.endswith("run/checkpoint_1") and "aside" not in source:
            raise OSError("died")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", dying)
    with pytest.raises(OSError, match="died"):
        save(run, 3, 1, overwrite=True)
    monkeypatch.undo()
    assert names(run) == ["checkpoint_1"] and value_of(run) == 2


def test_what_a_writer_had_moved_aside_when_it_died_is_put_back(tmp_path):
    save(tmp_path, 1, 1)
    aside = tmp_path / ".ramie-tmp-dead.writing" / "aside"
    aside.mkdir(parents=True)
    os.rename(tmp_path / "checkpoint_1", aside / "checkpoint_1")
    save(tmp_path, 2, 2, keep=2)
    assert names(tmp_path) == ["checkpoint_1", "checkpoint_2"]
    assert value_of(tmp_path, step=1) == 1


ENDING = """
import sys
import numpy as np
import orbax.checkpoint as ocp
from ramie.training import checkpoints

class Failing(ocp.PyTreeCheckpointHandler):
    def finalize(self, directory):
        raise OSError("no space left for this one")

def save(name, **options):
    checkpoints.save_checkpoint(f"{sys.argv[1]}/{name}", {"a": np.ones(200_000)}, 1, **options)

def make(handler):
    return ocp.AsyncCheckpointer(handler)

handler = ocp.PyTreeCheckpointHandler
save("managed", async_manager=checkpoints.AsyncManager(), orbax_checkpointer=make(handler()))
save("own", orbax_checkpointer=make(handler()))
save("failing", orbax_checkpointer=make(Failing()))
"""


def test_pending_saves_finish_when_the_program_ends_and_failures_are_printed(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", ENDING, str(tmp_path)], capture_output=True, text=True, check=True
    )
    for name in ("managed", "own"):
        assert checkpoint.verify(tmp_path / name / "checkpoint_1").state == "intact"
        assert value_of(tmp_path / name) == 1
    assert "A checkpoint was not saved in the background" in ended.stderr
    assert "no space left for this one" in ended.stderr
    assert checkpoints.available_steps(tmp_path / "failing") == []


def test_managers_and_checkpointers_that_change_places_are_named(tmp_path):
    with ocp.CheckpointManager(tmp_path / "managed") as manager:
        mistakes = [
            ({"orbax_checkpointer": manager}, r"no checkpointer.*by its save\(step, args=\.\.\.\)"),
            ({"orbax_checkpointer": checkpoints.AsyncManager()}, "no checkpointer, such as"),
            ({"async_manager": ocp.PyTreeCheckpointer()}, "as orbax_checkpointer"),
        ]
        for save in (checkpoints.save_checkpoint, checkpoints.save_checkpoint_multiprocess):
            for options, match in mistakes:
                with pytest.raises(errors.CheckpointOptionError, match=match):
                    save(tmp_path / "run", {"a": 1}, 1, **options)
    assert not (tmp_path / "run").exists()
