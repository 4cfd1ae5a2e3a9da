"""Saves go on where no thread can be started, as at the end of the interpreter on Python 3.12.1."""

import threading

import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import checkpoint
from ramie.checkpoint.storage import commit, integrity
from ramie.checkpoint.storage.threads import started


@pytest.fixture
def no_threads(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_it_says_whether_a_thread_runs(no_threads, monkeypatch):
    assert not started(threading.Thread(target=print))
    monkeypatch.undo()
    ran = threading.Event()
    assert started(threading.Thread(target=ran.set)) and ran.wait(60)


def test_checksums_are_the_same(no_threads, monkeypatch):
    def record():
        checksum = integrity.Checksum(7)
        for piece in (b"some", b"bytes", b"in pieces of any size"):
            checksum.add(piece)
        return checksum.record(3)

    without = record()
    monkeypatch.undo()
    assert without == record()


def test_a_save_is_complete_and_intact(no_threads, monkeypatch, tmp_path):
    monkeypatch.setattr(commit, "_AHEAD", 1 << 10)  # syncs while it writes
    state = {"a": np.arange(10_000.0), "b": {"c": np.ones((3, 4), np.float32)}}
    path = checkpoint.save(tmp_path, state, 3)
    monkeypatch.undo()
    assert checkpoint.verify(path).state == "intact"
    restored = checkpoint.restore(tmp_path, state)
    assert_exact(restored["a"], state["a"])
    assert_exact(restored["b"]["c"], state["b"]["c"])
