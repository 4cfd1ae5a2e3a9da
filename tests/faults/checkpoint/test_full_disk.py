"""A disk that is full after so many bytes: a clear error, nothing lost, and the next save works."""

import errno
import os

import numpy as np
import pytest
from tests.faults import scale, tally
from tests.listing import names

from ramie import checkpoint
from ramie.training import checkpoints


class SmallDisk:
    """Lets the functions of `os` that take room work for so many bytes, and then fail."""

    def __init__(self, monkeypatch, room, error=errno.ENOSPC):
        self.room, self.error = room, error
        self.write, self.fsync = os.write, os.fsync
        monkeypatch.setattr(os, "write", self._write)

    def _write(self, descriptor, data):
        if self.room <= 0:
            raise OSError(self.error, os.strerror(self.error))
        count = self.write(descriptor, memoryview(data)[: self.room])
        self.room -= count
        return count


def tree(step):
    return {"step": step, "w": np.full(30_000, step, np.float32), "name": "x" * 100}


def total_written(tmp_path):
    """Return how many bytes a save writes, its manifest included."""
    checkpoint.save(tmp_path / "other", tree(0), 0)
    return sum(os.path.getsize(entry.path) for entry in os.scandir(tmp_path / "other"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_wherever_the_room_ends_what_was_there_stays(tmp_path, monkeypatch, overwrite):
    folder = tmp_path / "run"
    for step in (1, 2):
        checkpoint.save(folder, tree(step), step, keep=2)
    total = total_written(tmp_path)
    # At the first and the last bytes, of the file and of its manifest, and somewhere between.
    edges = [0, 1, 2, total - 1, total - 2, total - 300]
    somewhere = np.random.default_rng(0).integers(0, total, scale.times(6, 200))
    for room in [*edges, *map(int, somewhere)]:
        with tally.fault("full disks", tally.LOST):
            with monkeypatch.context() as patch:
                SmallDisk(patch, room)
                with pytest.raises(OSError, match=r"No space left on device.*ramie-tmp"):
                    checkpoint.save(folder, tree(3), 2 if overwrite else 3, overwrite=overwrite)
            assert names(folder) == ["checkpoint_1", "checkpoint_2"]
            for step in (1, 2):
                assert checkpoint.verify(folder / f"checkpoint_{step}").state == "intact"
    checkpoint.save(folder, tree(3), 3, keep=1)
    assert names(folder) == ["checkpoint_3"]
    assert (checkpoint.restore(folder, None)["w"] == 3).all()


@pytest.mark.parametrize("moment", range(6))
def test_a_sync_or_rename_that_fails_leaves_what_was_there(tmp_path, monkeypatch, moment):
    checkpoint.save(tmp_path, tree(1), 1)
    left = moment

    def failing_once(original):
        def call(*args):
            nonlocal left
            left -= 1
            if left == -1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return original(*args)

        return call

    with monkeypatch.context() as patch:
        for name in ("fsync", "replace"):
            patch.setattr(os, name, failing_once(getattr(os, name)))
        try:
            checkpoint.save(tmp_path, tree(2), 2)
        except OSError as error:
            assert "Input/output error" in str(error)
    assert checkpoint.restore(tmp_path, None)["step"] in (1, 2)
    assert not [name for name in names(tmp_path) if name.startswith(".ramie-tmp")]
    checkpoint.save(tmp_path, tree(3), 3)
    assert names(tmp_path) == ["checkpoint_3"]


def test_a_save_in_the_background_never_fails_in_silence(tmp_path, monkeypatch):
    manager = checkpoints.AsyncManager()
    heard = 0
    for step in range(10):
        with monkeypatch.context() as patch:
            SmallDisk(patch, 1000 if step % 2 else 10**9)
            try:
                checkpoints.save_checkpoint(tmp_path, tree(step), step, async_manager=manager)
                manager.wait_previous_save()
            except OSError as error:
                assert "No space left" in str(error)
                heard += 1
        assert checkpoints.available_steps(tmp_path) == [step - step % 2]
    assert heard == 5


def test_a_file_system_for_reading_only_is_named(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, tree(1), 1)
    opened = os.open

    def refuse(path, flags, *args, **kwargs):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return opened(path, flags, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(OSError, match="Read-only file system"):
            checkpoint.save(tmp_path, tree(2), 2)
    assert checkpoint.restore(tmp_path, None)["step"] == 1
