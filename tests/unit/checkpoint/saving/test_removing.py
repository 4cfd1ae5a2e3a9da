"""One checkpoint goes, with all that belongs to it, and nothing else."""

import os

import numpy as np
import pytest

from ramie import checkpoint
from ramie.checkpoint.storage import commit
from ramie.errors import CheckpointBusyError, CheckpointNotFoundError, CheckpointOptionError


@pytest.fixture
def run(tmp_path):
    for step in (1, 2, 2.5, 10):
        checkpoint.save(tmp_path, {"w": np.ones(3)}, step, keep=0)
    return tmp_path


def test_the_file_and_its_manifest_go(run):
    before = set(os.listdir(run))
    path = checkpoint.remove(run, 2, dry_run=True)
    assert path == str(run / "checkpoint_2") and set(os.listdir(run)) == before
    assert checkpoint.remove(run, 2.0) == path
    gone = before - set(os.listdir(run))
    assert len(gone) == 2 and all("checkpoint_2" in name and "2.5" not in name for name in gone)
    assert checkpoint.available_steps(run) == [1, 2.5, 10]
    assert all(found.health.state == "intact" for found in checkpoint.survey(run, health=True))


def test_damaged_ones_and_those_of_other_prefixes_go_too(run):
    os.truncate(run / "checkpoint_1", 5)
    checkpoint.remove(run, 1)
    checkpoint.save(run, {"w": np.ones(3)}, 10, prefix="model_")
    checkpoint.remove(run, 10, prefix="model_")
    assert checkpoint.available_steps(run) == [2, 2.5, 10]


def test_directories_of_orbax_go_whole(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    from ramie.configurations import config
    from ramie.training import checkpoints

    with config.temp_flip_flag("use_orbax_checkpointing", True):
        for step in (1, 2):
            checkpoints.save_checkpoint(tmp_path, {"w": np.ones(3)}, step, keep=9)
    checkpoint.remove(tmp_path, 1)
    assert not [name for name in os.listdir(tmp_path) if "checkpoint_1" in name]
    assert checkpoint.available_steps(tmp_path) == [2]


def test_what_is_not_there_or_not_finished_is_refused(run, monkeypatch):
    with pytest.raises(CheckpointNotFoundError, match="no 'checkpoint_3'"):
        checkpoint.remove(run, 3)
    with pytest.raises(CheckpointNotFoundError):
        checkpoint.remove(run / "nowhere", 3)
    with pytest.raises(CheckpointOptionError, match="it is a file"):
        checkpoint.remove(run / "checkpoint_1", 3)
    (run / "checkpoint_4").mkdir()
    with pytest.raises(CheckpointOptionError, match="no finished checkpoint"):
        checkpoint.remove(run, 4)
    monkeypatch.setattr(commit, "LOCK_TIMEOUT", 0.05)
    with commit.directory_lock(str(run)), pytest.raises(CheckpointBusyError):
        checkpoint.remove(run, 1)
    assert checkpoint.available_steps(run) == [1, 2, 2.5, 10]
