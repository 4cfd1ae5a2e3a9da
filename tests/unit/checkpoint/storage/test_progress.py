"""Bytes that are done are told to whoever watches, and to nobody else."""

import threading

import pytest

from ramie.checkpoint.storage.progress import advance, unwatched, watched


def test_whoever_watches_is_told():
    seen = []
    advance(1)
    with watched(lambda *told: seen.append(told), "file", 10):
        advance(4)
        with watched(None, "nothing", 99):
            advance(3)
        with unwatched():
            advance(50)
        thread = threading.Thread(target=advance, args=(100,))
        thread.start()
        thread.join()
        advance(5)
    advance(1)
    assert seen == [("file", 0, 10), ("file", 4, 10), ("file", 7, 10), ("file", 12, 12)]


def test_watching_ends_with_an_error():
    seen = []
    with pytest.raises(OSError, match="gone"), watched(lambda *told: seen.append(told), "a", 1):
        raise OSError("gone")
    advance(1)
    assert seen == [("a", 0, 1)]
