"""An iterator that computes its next items ahead of time, in a thread."""

import copy
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import jax

from ramie.serialization.arrays import own

__all__ = ["PrefetchIterator"]


class PrefetchIterator:
    """Wraps an iterator so that the next items are ready when they are asked for.

    Deprecated in favour of the prefetching of data pipelines such as `tf.data` and Grain; it is
    here for programs that use it.

    An exception of the wrapped iterator is raised where its item would have come, and again at
    every later call. The thread ends with the data, at `close()`, or when the iterator is no longer
    referenced.

    Args:
        data_iter: What to iterate over.
        buffer_size: How many items to hold ready.

    Raises:
        ValueError: `buffer_size` is below 1.

    Differs from Flax: any iterable is accepted, not iterators alone, an abandoned iterator does
    not keep its thread, and arrays in host memory (at any depth of an item that is a pytree) are
    copied, so the wrapped iterator may fill the same buffer again.
    """

    def __init__(self, data_iter: Iterable[Any], buffer_size: int = 1) -> None:
        warnings.warn(
            "PrefetchIterator is deprecated; let the data pipeline prefetch instead, for example "
            "with tf.data's or Grain's own prefetching",
            DeprecationWarning,
            stacklevel=2,
        )
        if buffer_size < 1:
            raise ValueError(f"buffer_size must be at least 1, but it is {buffer_size}")
        self.buffer_size = buffer_size
        self._shelf = _Shelf(buffer_size)
        self._thread = threading.Thread(
            target=_fill, args=(self._shelf, iter(data_iter)), name="ramie-prefetch", daemon=True
        )
        self._finalizer = weakref.finalize(self, self._shelf.stop)
        self._thread.start()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._shelf.take()

    def close(self) -> None:
        """Stop reading ahead. Items that are ready can still be taken."""
        self._finalizer()
        self._thread.join()


class _Shelf:
    """Where the thread puts items and the caller takes them; knows neither of the two."""

    def __init__(self, size: int) -> None:
        self._changed = threading.Condition()
        self._items: deque[Any] = deque()
        self._size = size
        self._open = True
        self._error: BaseException | None = None

    def wait_for_room(self) -> bool:
        """Return True when an item can be put, False when no more are wanted."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open or len(self._items) < self._size)
            return self._open

    def put(self, item: Any) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def stop(self, error: BaseException | None = None) -> None:
        with self._changed:
            self._open = False
            self._error = error or self._error
            self._changed.notify_all()

    def take(self) -> Any:
        with self._changed:
            self._changed.wait_for(lambda: self._items or not self._open)
            if self._items:
                self._changed.notify_all()
                return self._items.popleft()
            if self._error is not None:
                raise self._error
            raise StopIteration


def _fill(shelf: _Shelf, data: Iterator[Any]) -> None:
    while shelf.wait_for_room():
        try:
            item = _owned(next(data))
        except StopIteration:
            return shelf.stop()
        except BaseException as error:  # belongs to whoever asks for the item
            return shelf.stop(error)
        shelf.put(item)


def _owned(item: Any) -> Any:
    """Copy the arrays in host memory of a pytree; dictionaries keep the order of their keys."""
    return jax.tree_util.tree_map(_own, item, is_leaf=lambda x: type(x) is dict)


def _own(x: Any) -> Any:
    if type(x) is dict:
        return {key: _owned(value) for key, value in x.items()}
    if isinstance(x, jax.Array):
        return own(x)
    is_in_host_memory = hasattr(x, "__array__") or isinstance(x, bytearray)
    return copy.deepcopy(x) if is_in_host_memory else x
