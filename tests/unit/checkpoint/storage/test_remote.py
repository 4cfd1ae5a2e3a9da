"""Checkpoints behind URLs: in fsspec's memory, and in a directory that fsspec looks after."""

import datetime
import sys

import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.checkpoint.storage import parallel, remote
from ramie.training import checkpoints

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(params=["memory", "local"])
def url(request, tmp_path):
    if request.param == "local":
        yield f"local://{tmp_path}/run"
        return
    yield "memory://bucket/run"
    fsspec.filesystem("memory").store.clear()


def names(url):
    """Return what is in a directory, manifests aside."""
    return sorted(name for name in remote.list_names(url) if not name.endswith(".ramie.json"))


def tree(step):
    return {"step": step, "w": np.full((30, 40), step, np.float32), "flags": np.ones(3, bool)}


def test_saves_restores_and_retains_as_in_a_local_directory(url):
    assert checkpoint.latest(url) is None
    for step in range(1, 5):
        path = checkpoint.save(url, tree(step), step, keep=2)
        assert path == f"{url}/checkpoint_{step}"
    assert names(url) == ["checkpoint_3", "checkpoint_4"]
    assert checkpoint.available_steps(url) == [3, 4]
    assert checkpoint.latest(url) == f"{url}/checkpoint_4"
    restored = checkpoint.restore(url, tree(0))
    assert restored["step"] == 4
    assert_exact(restored["w"], tree(4)["w"])
    assert checkpoint.restore(url, None, step=3)["step"] == 3
    assert checkpoint.restore(f"{url}/checkpoint_3", None)["step"] == 3
    with pytest.raises(errors.InvalidCheckpointError):
        checkpoint.save(url, tree(3), 3)
    checkpoint.save(url, tree(9), 3, overwrite=True, keep=5)
    assert names(url) == ["checkpoint_3"]
    assert checkpoint.restore(url, None)["step"] == 9
    (listed,) = checkpoint.survey(url, health=True)
    assert (listed.step, listed.form, listed.health.state) == (3, "file", "intact")
    assert listed.nbytes > 4800


def test_the_documented_functions_take_urls_also_in_the_background(url):
    manager = checkpoints.AsyncManager()
    for step in range(3):
        checkpoints.save_checkpoint(url, tree(step), step, async_manager=manager)
    manager.wait_previous_save()
    assert checkpoints.latest_checkpoint(url) == f"{url}/checkpoint_2"
    assert checkpoints.restore_checkpoint(url, tree(0))["step"] == 2
    assert checkpoints.restore_checkpoint(f"{url}/nothing", 7) == 7


def test_damage_is_found_and_the_newest_intact_one_offered(url, monkeypatch):
    for step in (1, 2):
        checkpoint.save(url, tree(step), step, keep=2)
    system, path = remote._filesystem(f"{url}/checkpoint_2")
    data = bytearray(system.cat(path))
    data[-100] ^= 1
    system.pipe(path, bytes(data))
    with pytest.raises(errors.DamagedCheckpointError, match="checkpoint_1"):
        checkpoint.restore(url, None)
    with pytest.warns(RuntimeWarning, match="Going on"):
        assert checkpoint.restore(url, None, fallback=True)["step"] == 1


def test_large_arrays_are_streamed(url, monkeypatch):
    monkeypatch.setattr(parallel, "SMALLEST", 0)  # which is of no importance there
    large = np.random.default_rng(0).standard_normal(1_500_000)
    checkpoint.save(url, {"a": large, "b": 1}, 1)
    restored = checkpoint.restore(url, None)
    assert_exact(restored["a"], large)
    assert restored["b"] == 1


class Failing:
    """A file that takes so many bytes, and then no more, and pretends or complains."""

    def __init__(self, file, room, silent):
        self.file, self.room, self.silent = file, room, silent

    def write(self, data):
        if self.room < len(data):
            if self.silent:
                return len(data)
            raise OSError(28, "No space left on device")
        self.room -= len(data)
        return self.file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()


@pytest.mark.parametrize("silent", [True, False])
def test_an_upload_that_fails_leaves_what_was_there(url, monkeypatch, silent):
    checkpoint.save(url, tree(1), 1)
    system, _ = remote._filesystem(url)
    opened = type(system).open

    def open_failing(self, path, mode="rb", **kwargs):
        file = opened(self, path, mode, **kwargs)
        return Failing(file, 100, silent) if mode == "wb" else file

    with monkeypatch.context() as patch:
        patch.setattr(type(system), "open", open_failing)
        with pytest.raises(OSError, match="arrived" if silent else "No space"):
            checkpoint.save(url, tree(2), 2)
    assert names(url) == ["checkpoint_1"]
    assert checkpoint.restore(url, None)["step"] == 1
    checkpoint.save(url, tree(2), 2)
    assert names(url) == ["checkpoint_2"]


def test_what_dead_writers_left_goes_after_a_day(url, monkeypatch):
    checkpoint.save(url, tree(1), 1)
    system, path = remote._filesystem(f"{url}/.ramie-tmp-dead")
    system.pipe(path, b"half")
    checkpoint.save(url, tree(2), 2)
    assert names(url) == [".ramie-tmp-dead", "checkpoint_2"]
    monkeypatch.setattr(remote, "_FORGOTTEN", -datetime.timedelta(days=1))
    checkpoint.save(url, tree(3), 3)
    assert names(url) == ["checkpoint_3"]


def test_without_fsspec_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    for call in (
        lambda: checkpoint.save("gs://bucket/run", {}, 1),
        lambda: checkpoint.restore("gs://bucket/run", {}),
        lambda: checkpoint.latest("s3://bucket/run"),
    ):
        with pytest.raises(errors.MissingExtraError, match=r"ramie\[remote\]"):
            call()


def test_what_is_not_done_behind_urls_says_so(url):
    for call in (
        lambda: checkpoint.save_safetensors(f"{url}/a.safetensors", {}),
        lambda: checkpoint.outline(f"{url}/checkpoint_1"),
        lambda: checkpoint.prune(url, keep=1),
    ):
        with pytest.raises(NotImplementedError, match="copy them to a local"):
            call()


def test_file_urls_are_local_paths(tmp_path):
    path = checkpoint.save(f"file://{tmp_path}", {"a": 1}, 1)
    assert path == str(tmp_path / "checkpoint_1")
    assert checkpoint.restore(f"file://{tmp_path}", None) == {"a": 1}


class StoreError(Exception):
    """As stores have them: no OSError."""


def test_failures_of_a_store_are_system_errors(monkeypatch):
    url = "memory://bucket/run"
    path = checkpoint.save(url, tree(1), 1)
    memory = fsspec.filesystem("memory")

    def fail(*arguments, **options):
        raise StoreError("no credentials")

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "info", fail)
        for work in (checkpoint.restore, checkpoint.verify):
            with pytest.raises(OSError, match="StoreError: no credentials"):
                work(path, *([None] if work is checkpoint.restore else []))
    with monkeypatch.context() as patch:
        patch.setattr(type(memory.open(path.partition("://")[2])), "readinto", fail)
        with pytest.raises(OSError, match=r"StoreError.*checkpoint_1"):
            checkpoint.restore(path, None)
    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "mv", fail)
        with pytest.raises(OSError, match="StoreError"):
            checkpoint.save(url, tree(2), 2)
    assert checkpoint.available_steps(url) == [1]
    memory.store.clear()


def test_unknown_kinds_of_urls_are_refused():
    with pytest.raises(errors.CheckpointOptionError, match="fsspec does not know"):
        checkpoint.survey("nothing-like-this://bucket/run")
