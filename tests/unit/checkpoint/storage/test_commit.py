"""Committing: temporary file, sync, rename, sync; locks; leftovers."""

import errno
import os
import time

import numpy as np
import pytest

from ramie.checkpoint.storage import commit
from ramie.checkpoint.storage import entries as storage
from ramie.errors import CheckpointBusyError


def names(folder):
    return sorted(os.listdir(folder))


def publish(folder, name, pieces):
    with commit.staging(str(folder)) as staged:
        size = staged.write(pieces)
        with commit.directory_lock(str(folder)):
            staged.publish(str(folder / name))
    return size


def test_a_file_appears_whole_under_its_name(tmp_path):
    seen = []

    def pieces():
        for piece in (b"ab", bytearray(b"cd"), memoryview(b"ef")):
            seen.append(names(tmp_path))
            yield piece

    assert publish(tmp_path, "final", pieces()) == 6
    assert names(tmp_path) == ["final"]
    assert (tmp_path / "final").read_bytes() == b"abcdef"
    assert all(len(listing) == 1 and listing[0].startswith(".ramie-tmp-") for listing in seen)


def test_data_is_synced_before_the_rename_and_the_directory_after(tmp_path, monkeypatch):
    calls = []

    def record(name):
        original = getattr(os, name)

        def wrapper(first, *rest):
            if name == "fsync":
                is_directory = os.path.isdir(f"/proc/self/fd/{first}")
                calls.append("sync directory" if is_directory else "sync data")
            else:
                calls.append(name)
            return original(first, *rest)

        monkeypatch.setattr(os, name, wrapper)

    for name in ("write", "fsync", "replace"):
        record(name)
    publish(tmp_path, "final", [b"data"])
    assert calls == ["write", "sync data", "replace", "sync directory"]


def test_a_failed_write_leaves_nothing(tmp_path):
    def pieces():
        yield b"some"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path, "final", pieces())
    assert names(tmp_path) == []


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "final").write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match=r"No space left on device: '.*\.ramie-tmp-"):
            publish(tmp_path, "final", [b"new"])
    assert names(tmp_path) == ["final"]
    assert (tmp_path / "final").read_bytes() == b"old"
    publish(tmp_path, "final", [b"new"])
    assert (tmp_path / "final").read_bytes() == b"new"


def test_partial_writes_are_continued(tmp_path, monkeypatch):
    original = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: original(descriptor, data[:3]))
    publish(tmp_path, "final", [b"0123456789"])
    assert (tmp_path / "final").read_bytes() == b"0123456789"


def test_leftovers_of_dead_writers_go_and_live_ones_stay(tmp_path):
    with commit.staging(str(tmp_path)) as live:
        (tmp_path / ".ramie-tmp-dead").write_bytes(b"half")
        (tmp_path / ".ramie-tmp-dying").mkdir()
        (tmp_path / ".ramie-tmp-dying" / "file").touch()
        (tmp_path / ".ramie-tmp-link").symlink_to(tmp_path / "precious")
        (tmp_path / "precious").touch()
        (tmp_path / ".other").touch()
        with commit.directory_lock(str(tmp_path)):
            commit.clean_leftovers(str(tmp_path))
        assert names(tmp_path) == sorted(
            [os.path.basename(live.path), ".ramie-tmp-link", ".other", "precious"]
        )
        live.write([b"still writable"])


def test_a_link_in_the_way_is_replaced_not_followed(tmp_path):
    (tmp_path / "precious").write_bytes(b"mine")
    (tmp_path / "final").symlink_to(tmp_path / "precious")
    publish(tmp_path, "final", [b"new"])
    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert not (tmp_path / "final").is_symlink()


def test_a_link_at_the_temporary_name_is_not_written_through(tmp_path, monkeypatch):
    (tmp_path / "precious").write_bytes(b"mine")
    taken = tmp_path / f"{storage.TEMPORARY_PREFIX}guessed"
    taken.symlink_to(tmp_path / "precious")
    monkeypatch.setattr(storage, "temporary_path", lambda directory: str(taken))
    with pytest.raises(FileExistsError):
        publish(tmp_path, "final", [b"new"])
    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert not (tmp_path / "final").exists()


def test_committers_wait_for_each_other_but_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(commit, "LOCK_TIMEOUT", 0.0)
    busy = pytest.raises(CheckpointBusyError, match="Another process")
    with commit.directory_lock(str(tmp_path)), busy, commit.directory_lock(str(tmp_path)):
        pass
    with commit.directory_lock(str(tmp_path)):
        pass


@pytest.mark.parametrize("broken", ["absent", "refused"])
def test_without_locks_files_are_committed_and_leftovers_stay(tmp_path, monkeypatch, broken):
    class Refusing:
        LOCK_EX = LOCK_NB = 0

        @staticmethod
        def flock(descriptor, operation):
            raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(commit, "fcntl", None if broken == "absent" else Refusing)
    (tmp_path / ".ramie-tmp-perhaps-alive").touch()
    publish(tmp_path, "final", [b"data"])
    assert names(tmp_path) == [".ramie-tmp-perhaps-alive", "final"]


def test_directories_are_made_durably(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(storage, "sync_directory", synced.append)
    storage.make_directory(str(tmp_path / "a" / "b"))
    storage.make_directory(str(tmp_path / "a" / "b"))
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    assert (tmp_path / "a" / "b").is_dir()


def test_removal_takes_files_links_and_whole_directories(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("link", "file", "nothing"):
        storage.remove(str(tmp_path / name))
    assert names(tmp_path) == ["folder"]
    storage.remove(str(tmp_path / "folder"))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "path, normal",
    [
        ("./a/b/c", "a/b/c"),
        ("/a//b/c", "/a/b/c"),
        ("/a/../b/c", "/b/c"),
        ("a/b/./c", "a/b/c"),
        ("gs://a//b/c", "gs://a/b/c"),
        ("s3+x://a/b/..", "s3+x://a"),
        ("", "."),
    ],
)
def test_paths_are_normalised(path, normal):
    assert storage.safe_normpath(path) == normal


def write_large(folder, sizes):
    """Write pieces of random bytes; return them and what the file holds, and its blocks."""
    generator = np.random.default_rng(0)
    pieces = [generator.bytes(size) for size in sizes]
    with commit.staging(str(folder)) as staged:
        assert staged.write(pieces) == sum(sizes)
        status = os.stat(staged.path)
        with open(staged.path, "rb") as file:
            return b"".join(pieces), file.read(), status.st_blocks * 512


@pytest.mark.parametrize("sizes", [[100_000], [1000] * 300, [70_000, 5, 200_000], [0], [1 << 16]])
def test_room_that_is_reserved_and_not_needed_is_given_back(tmp_path, sizes, monkeypatch):
    monkeypatch.setattr(commit, "_AHEAD", 1 << 14)
    monkeypatch.setattr(commit, "_RESERVED", 1 << 20)
    written, found, room = write_large(tmp_path, sizes)
    assert found == written
    assert room < len(written) + (1 << 17)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="there is no such call")
@pytest.mark.parametrize("delay, error", [(0, None), (0.03, None), (0, errno.ENOSPC)])
def test_file_systems_that_cannot_reserve_are_asked_once(tmp_path, delay, error, monkeypatch):
    calls = []

    def reserve(descriptor, place, size):
        calls.append(place)
        time.sleep(delay)
        os.ftruncate(descriptor, place + size // 2)  # as if zeros were written
        if error:
            raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "posix_fallocate", reserve)
    monkeypatch.setattr(commit, "_AHEAD", 1 << 14)
    monkeypatch.setattr(commit, "_RESERVED", 1 << 16)
    monkeypatch.setattr(commit, "_SLOW", 0.02 if delay else 10.0)
    written, found, _ = write_large(tmp_path, [50_000] * 10)
    assert found == written
    assert (len(calls) == 1) == bool(delay or error)


def test_nothing_is_reserved_where_there_is_no_such_call(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr(commit, "_AHEAD", 1 << 14)
    written, found, _ = write_large(tmp_path, [50_000] * 10)
    assert found == written
