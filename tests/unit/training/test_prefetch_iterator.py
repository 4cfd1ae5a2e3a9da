"""PrefetchIterator: order, look-ahead, errors, closing; synchronised by events, never by sleep."""

import gc
import threading
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from tests.memory import aligned
from tests.tolerance import assert_exact

from ramie.training.prefetch_iterator import PrefetchIterator


def prefetch(*args, **kwargs):
    with pytest.warns(DeprecationWarning, match="pipeline"):
        return PrefetchIterator(*args, **kwargs)


def test_gives_all_items_in_order_and_then_ends_for_good():
    items = prefetch(iter(range(5)), buffer_size=2)
    assert iter(items) is items
    assert list(items) == [0, 1, 2, 3, 4]
    with pytest.raises(StopIteration):
        next(items)


def test_takes_any_iterable():
    assert list(prefetch([1, 2])) == [1, 2]


def test_reads_ahead_as_far_as_the_buffer_and_no_further():
    produced = threading.Semaphore(0)
    count = 0

    def numbers():
        nonlocal count
        while True:
            count += 1
            produced.release()
            yield count

    items = prefetch(numbers(), buffer_size=3)
    for _ in range(3):
        assert produced.acquire(timeout=60)
    assert next(items) == 1
    assert produced.acquire(timeout=60)
    items.close()
    assert count == 4
    assert list(items) == [2, 3, 4]


class Batch(NamedTuple):
    image: Any
    label: Any


@pytest.mark.parametrize("place", [np.asarray, jax.device_put])
def test_copies_buffers_that_the_source_fills_again(place):
    buffer, raw = aligned((4, 16)), bytearray(1)

    def source():
        for i in range(4):
            buffer[...], raw[0] = i, i
            yield {
                "z": Batch(place(buffer), {"b": [place(buffer[0])], "a": raw}),
                "note": "text",
                3: None,
            }

    items = prefetch(source(), buffer_size=5)  # room to see that there are four
    items._thread.join(timeout=60)
    assert not items._thread.is_alive()
    for i, item in enumerate(items):
        assert list(item) == ["z", "note", 3] and item["note"] == "text" and item[3] is None
        batch = item["z"]
        assert isinstance(batch, Batch) and list(batch.label) == ["b", "a"]
        assert_exact(batch.image, np.full((4, 16), i, np.float32))
        assert_exact(batch.label["b"][0], np.full(16, i, np.float32))
        assert batch.label["a"] == bytes([i])


def test_what_is_in_no_host_memory_is_handed_on_as_it_is():
    other = object()
    assert next(prefetch([other])) is other


def test_an_error_comes_in_its_place_and_stays():
    def two_and_a_half():
        yield 1
        yield 2
        raise RuntimeError("the data ended badly")

    items = prefetch(two_and_a_half(), buffer_size=5)
    assert [next(items), next(items)] == [1, 2]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="badly"):
            next(items)


def test_close_twice_and_after_the_end():
    items = prefetch([1])
    assert list(items) == [1]
    items.close()
    items.close()


def test_an_abandoned_iterator_releases_its_thread():
    def forever():
        while True:
            yield 0

    items = prefetch(forever())
    next(items)
    thread = items._thread
    del items
    gc.collect()
    thread.join(timeout=60)
    assert not thread.is_alive()


def test_refuses_an_empty_buffer():
    with (
        pytest.warns(DeprecationWarning),
        pytest.raises(ValueError, match="buffer_size must be at least 1"),
    ):
        PrefetchIterator([1], buffer_size=0)
