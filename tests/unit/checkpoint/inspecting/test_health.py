"""Verifying without restoring, and going back to the newest checkpoint that is whole."""

import os

import numpy as np
import pytest

from ramie import checkpoint, errors, serialization
from ramie.checkpoint.storage import integrity


def damage(path):
    with open(path, "r+b") as file:
        file.seek(60)
        byte = file.read(1)[0]
        file.seek(60)
        file.write(bytes([byte ^ 4]))


@pytest.fixture
def folder(tmp_path):
    for step in range(4):
        checkpoint.save(tmp_path, {"step": step, "a": np.zeros(100)}, step, keep=9)
    return tmp_path


def test_what_was_saved_is_intact_until_it_changes(folder):
    assert checkpoint.verify(folder / "checkpoint_2") == ("intact", "")
    damage(folder / "checkpoint_2")
    state, problem = checkpoint.verify(folder / "checkpoint_2")
    assert state == "damaged" and "checkpoint_2" in problem


def test_files_without_a_manifest_are_read(tmp_path):
    path = tmp_path / "checkpoint_1"
    path.write_bytes(serialization.to_bytes({"a": np.zeros(100)}))
    assert checkpoint.verify(path).state == "readable"
    path.write_bytes(path.read_bytes()[:-1])
    assert checkpoint.verify(path).state == "damaged"


def test_a_file_put_in_the_place_of_ours_is_read(folder):
    other = folder / "other"
    other.write_bytes(serialization.to_bytes({"b": 1}))
    os.replace(other, folder / "checkpoint_3")
    assert checkpoint.verify(folder / "checkpoint_3").state == "readable"


def test_nothing_and_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(errors.CheckpointNotFoundError, match="checkpoint_7"):
        checkpoint.verify(tmp_path / "checkpoint_7")
    with pytest.raises(errors.CheckpointOptionError, match="Orbax did not"):
        checkpoint.verify(tmp_path)


def test_a_damaged_checkpoint_names_the_newest_whole_one(folder):
    for step in (2, 3):
        damage(folder / f"checkpoint_{step}")
    assert checkpoint.newest_intact(folder) == str(folder / "checkpoint_1")
    with pytest.raises(errors.DamagedCheckpointError, match=r'undamaged .*checkpoint_1"') as caught:
        checkpoint.restore(folder, None)
    assert caught.value.intact == str(folder / "checkpoint_1")
    with pytest.raises(errors.DamagedCheckpointError, match=r"checkpoint_1"):
        checkpoint.restore(folder, None, step=2)


def test_fallback_takes_the_newest_whole_one_and_warns(folder):
    damage(folder / "checkpoint_3")
    with pytest.warns(RuntimeWarning, match=r"checkpoint_3.*checkpoint_2"):
        assert checkpoint.restore(folder, None, fallback=True)["step"] == 2
    for step in range(3):
        damage(folder / f"checkpoint_{step}")
    with pytest.raises(errors.DamagedCheckpointError):
        checkpoint.restore(folder, None, fallback=True)


def test_without_manifests_a_note_names_what_can_be_read(folder):
    os.unlink(integrity.manifest_path(str(folder / "checkpoint_3")))
    (folder / "checkpoint_3").write_bytes(b"\xc1")
    with pytest.raises(errors.MalformedDataError) as caught:
        checkpoint.restore(folder, None)
    assert any("checkpoint_2" in note for note in caught.value.__notes__)
