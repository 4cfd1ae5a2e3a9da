"""Saving a tree by Orbax into a directory of its own; who calls decides when it becomes visible."""

import contextlib
import functools
import logging
import numbers
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from ramie.checkpoint.formats import orbax
from ramie.errors import CheckpointOptionError, FormatLimitError, MalformedDataError
from ramie.errors.base import saved_instead
from ramie.serialization.arrays import check_value, is_prng_key, own
from ramie.serialization.codec import msgpack_serialize
from ramie.serialization.state_dict import to_state_dict

__all__ = ["is_background", "prepare", "start"]

_FORM = "Orbax"


def prepare(target: Any) -> Any:
    """Return a tree that Orbax can save: the target itself, or its state dict where that is needed.

    Raises:
      CheckpointOptionError: if the target is a single value, or empty.
      FormatLimitError: if Orbax cannot hold a leaf, or would mix two of them up.
      RuntimeError: if JAX has no device, without which Orbax does nothing.
    """
    orbax.check_device()
    tree = target if _is_usable(target) else to_state_dict(target)
    reason = ""
    if jax.tree_util.all_leaves([tree]):
        reason = "Orbax saves trees, and this is a single value; put it into a dictionary"
    elif not jax.tree.leaves(tree) and not to_state_dict(target):
        reason = "Orbax saves no tree that holds nothing"
    if reason:
        raise CheckpointOptionError("target", _describe(target), reason)
    _check(tree)
    return jax.tree.map(_of_all_processes, tree) if jax.process_count() > 1 else tree


def _describe(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"of type {type(value).__name__}" if shape is None else f"array of shape {shape}"


def _is_usable(tree: Any) -> bool:
    try:
        leaves = jax.tree.leaves(tree)
    except ValueError:  # keys that cannot be sorted, as 1 and "a"; in a state dict they are strings
        return False
    return all(map(_is_leaf, leaves)) and _can_be_mapped(tree)


def _is_leaf(value: Any) -> bool:
    return isinstance(value, (jax.Array, np.ndarray, np.generic, numbers.Number, str))


def _can_be_mapped(tree: Any) -> bool:
    """Tell whether a tree can hold what Orbax puts in the place of values and empty containers.

    A `jax.tree_util.Partial` needs a dictionary for its keywords, and constructors of the user may
    ask for arrays.
    """
    stand_in = object()
    try:
        jax.tree.map(lambda leaf: stand_in, tree, is_leaf=_is_empty)
    except Exception:
        return False
    return True


def _is_empty(node: Any) -> bool:
    return isinstance(node, (dict, list, tuple)) and not node


def _check(tree: Any) -> None:
    if not _can_be_mapped(tree):
        for keys, node in jax.tree.leaves_with_path(tree, is_leaf=lambda x: type(x) is not dict):
            if not _can_be_mapped(node):
                what = f"a pytree of type {type(node).__name__} that accepts nothing but its values"
                place = "/".join(orbax.names_of(keys))
                raise FormatLimitError(_FORM, what, place, "Save its values in a dictionary")
    names = []
    for keys, leaf in jax.tree.leaves_with_path(tree):
        path = orbax.names_of(keys)
        place = "/".join(path)
        names.append(".".join(path))
        if isinstance(leaf, jax.Array):
            try:
                check_value(leaf)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
        limit = _limit(leaf) or (not _is_text(place) and _NO_TEXT)
        if limit:
            raise FormatLimitError(_FORM, limit[0], ascii(place)[1:-1], limit[1])
    for name, count in Counter(names).items():
        if count > 1:
            hint = "Rename one: Orbax would save one of them for both"
            raise FormatLimitError(_FORM, f"{count} leaves called {name!r}", name, hint)


_NO_TEXT = ("text with half a surrogate pair, which is no Unicode", "Replace it")


def _limit(leaf: Any) -> tuple[str, str] | None:
    """Return what Orbax cannot hold and what to do instead; None if it can hold the leaf."""
    what, instead = "", f"Leave it out{_OR_MSGPACK}"
    if isinstance(leaf, np.ma.MaskedArray):
        what, instead = "the mask of an array", "Save the data and the mask as two arrays"
    elif isinstance(leaf, (jax.Array, np.ndarray)):
        if 0 in leaf.shape:
            what = "an array without elements"
        elif leaf.ndim > _MOST_AXES:
            what, instead = f"an array of {leaf.ndim} axes", f"Reshape it{_OR_MSGPACK}"
        elif not is_prng_key(leaf) and not _is_held(leaf.dtype):
            what, instead = f"an array of dtype {leaf.dtype}", f"Cast it{_OR_MSGPACK}"
    elif isinstance(leaf, str):
        return None if _is_text(leaf) else _NO_TEXT
    elif isinstance(leaf, np.generic):
        if not _is_held(leaf.dtype):
            what, instead = f"a scalar of dtype {leaf.dtype}", f"Cast it{_OR_MSGPACK}"
        elif not isinstance(leaf, np.number):
            what = f"a scalar of dtype {leaf.dtype}"
            instead = f"Make it an array with numpy.asarray{_OR_MSGPACK}"
    elif isinstance(leaf, int):
        if not _LEAST <= leaf <= _LARGEST:
            what, instead = "an integer beyond 64 bits", "Save it as a string"
    elif not isinstance(leaf, float):
        what = f"a value of type {type(leaf).__name__}"
        instead = saved_instead(leaf) or instead
    if not what:
        return None
    return what, instead if _is_held_by_msgpack(leaf) else instead.removesuffix(_OR_MSGPACK)


def _is_held_by_msgpack(leaf: Any) -> bool:
    is_array = isinstance(leaf, (jax.Array, np.ndarray))
    try:
        msgpack_serialize(np.empty(0, leaf.dtype) if is_array else leaf)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


_OR_MSGPACK = ", or save as msgpack"
_MOST_AXES = 32
_LEAST, _LARGEST = -(2**63), 2**64 - 1


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@functools.cache
def _is_held(dtype: Any) -> bool:
    """Ask TensorStore, which writes for Orbax, whether it has a dtype."""
    orbax.import_orbax("save arrays by Orbax")
    import tensorstore

    try:
        tensorstore.dtype(np.dtype(dtype).name)
    except ValueError:
        return False
    return True


def _of_all_processes(leaf: Any) -> Any:
    """Give arrays that only this process has to Orbax as what process 0 saves for all."""
    if isinstance(leaf, jax.Array) and leaf.is_fully_addressable:
        return leaf if is_prng_key(leaf) else np.asarray(leaf)
    return leaf


def is_background(checkpointer: Any) -> bool:
    """Tell whether a checkpointer saves in the background."""
    return hasattr(checkpointer, "wait_until_finished")


def start(path: str, tree: Any, checkpointer: Any, *, background: bool) -> Callable[[], None]:
    """Save a tree as a new directory.

    Args:
      path: the directory, which must not exist.
      tree: what `prepare` returned.
      checkpointer: the user's own, or None.
      background: without a checkpointer of the user, go on when the values are copied.

    Returns:
      A function that waits until the directory is finished, and checks that nothing is missing.
    """
    package = orbax.import_orbax("save arrays by Orbax")
    stack = contextlib.ExitStack()
    if checkpointer is None:
        handler = package.PyTreeCheckpointHandler()
        kind = package.AsyncCheckpointer if background else package.Checkpointer
        checkpointer = kind(handler)
        stack.enter_context(_raised_only())
        stack.callback(checkpointer.close)
    if is_background(checkpointer):  # Orbax copies arrays of numpy, and keeps views of others
        tree = jax.tree.map(lambda leaf: own(leaf) if isinstance(leaf, jax.Array) else leaf, tree)
    arguments = jax.tree.map(lambda leaf: package.SaveArgs(), tree)
    with stack:
        checkpointer.save(os.path.abspath(path), tree, save_args=arguments)
        stack = stack.pop_all()
    expected = {orbax.names_of(keys) for keys, _ in jax.tree.leaves_with_path(tree)}

    def finish() -> None:
        with stack:
            if is_background(checkpointer):
                checkpointer.wait_until_finished()
        if jax.process_index() == 0:
            _confirm(path, expected)

    return finish


class _Traces(logging.Filter):
    """Stops what the threads of Orbax log of a failure that whoever waits for them raises."""

    def __init__(self) -> None:
        super().__init__()
        self.n_saves = 0
        self.until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record."""
        is_ours = self.n_saves > 0 or time.monotonic() < self.until
        is_trace = bool(record.exc_info) and "orbax" in record.pathname
        return not (is_ours and is_trace)


_TRACES = _Traces()
_COUNTING = threading.Lock()
_LINGER = 5.0


@contextlib.contextmanager
def _raised_only() -> Iterator[None]:
    """Let failures of Orbax be raised, and not be printed by its threads as well."""
    logger = logging.getLogger("absl")
    if _TRACES not in logger.filters:
        logger.addFilter(_TRACES)
    with _COUNTING:
        _TRACES.n_saves += 1
    try:
        yield
    except BaseException:
        _TRACES.until = time.monotonic() + _LINGER  # some threads speak after the failure
        raise
    finally:
        with _COUNTING:
            _TRACES.n_saves -= 1


def _confirm(path: str, expected: set[tuple[str, ...]]) -> None:
    if not orbax.holds_tree(path):
        return  # by a handler of the user's, who knows what it is
    missing = sorted(expected - set(orbax.contents(path).entries))
    if missing:
        names = ["/".join(names) for names in missing[:10]]
        problem = f"Orbax finished without {len(missing)} leaves, such as {names}"
        raise MalformedDataError(problem, source=path, writer="Orbax")
