"""Summing up a file gives the checksums of its bytes, whichever thread took which part."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramie.checkpoint.storage import integrity, parallel, progress, summing

CHUNK = 1 << 16


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("summing") / "file"
    path.write_bytes(np.random.default_rng(0).bytes(3_000_001))
    return path


@pytest.fixture
def helped(monkeypatch):
    """Let a second thread help with small files too."""
    monkeypatch.setattr(summing, "SMALLEST", 0)


def summed(path, chunk=CHUNK):
    with open(path, "rb", buffering=0) as opened:
        return summing.sum_up_file(opened.fileno(), chunk)


def expected(path, chunk=CHUNK):
    return integrity.sum_up(path.read_bytes(), chunk)._replace(inode=path.stat().st_ino)


@settings(max_examples=40)
@given(
    size=st.integers(0, 400_000) | st.sampled_from([CHUNK, 2 * CHUNK, 1 << 18, (1 << 18) + 1]),
    chunk=st.sampled_from([1 << 12, CHUNK, 100_003, 1 << 24]),
    smallest=st.sampled_from([0, 1 << 25]),
)
def test_checksums_are_those_of_the_bytes(tmp_path_factory, size, chunk, smallest):
    path = tmp_path_factory.mktemp("sizes") / "file"
    path.write_bytes(np.random.default_rng(size).bytes(size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summing, "SMALLEST", smallest)
        assert summed(path, chunk) == expected(path, chunk)


@pytest.mark.parametrize("known", [0, 1, 5, 20])
def test_what_is_not_in_memory_is_left_to_the_first_thread(file, known, monkeypatch, helped):
    asked = []

    def read_at(descriptor, memory, place, flags=0):
        if flags:
            asked.append(place)
            if len(asked) > known:
                raise BlockingIOError
        return parallel.read_at(descriptor, memory, place)

    monkeypatch.setattr(summing, "NO_WAIT", 8)
    monkeypatch.setattr(summing, "read_at", read_at)
    for _ in range(10):
        asked.clear()
        assert summed(file) == expected(file)


def test_without_a_second_thread_the_first_does_it_all(file, monkeypatch, helped):
    monkeypatch.setattr(summing, "started", lambda thread: False)
    assert summed(file) == expected(file)


def test_a_failure_of_the_disk_is_raised(file, monkeypatch, helped):
    def read_at(descriptor, memory, place, flags=0):
        raise OSError(5, "no such luck")

    monkeypatch.setattr(summing, "read_at", read_at)
    with pytest.raises(OSError, match="no such luck"):
        summed(file)


def test_a_file_that_became_shorter_is_summed_up_as_it_is(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(bytes(200_000))
    real = parallel.read_at

    def read_at(descriptor, memory, place, flags=0):
        os.truncate(path, 70_000)
        return real(descriptor, memory, place, flags)

    monkeypatch.setattr(summing, "read_at", read_at)
    assert summed(path).size == 70_000


@pytest.mark.parametrize("smallest", [0, 1 << 25])
def test_who_watches_is_told_of_all_bytes(file, smallest, monkeypatch):
    monkeypatch.setattr(summing, "SMALLEST", smallest)
    told = []
    with progress.watched(lambda _, done, total: told.append((done, total)), "file", 3_000_001):
        summed(file)
    assert told[-1] == (3_000_001, 3_000_001)
    assert told == sorted(told)
