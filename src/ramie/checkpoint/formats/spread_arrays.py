"""Arrays that Flax keeps beside a msgpack file when they are sharded over processes.

The file holds a placeholder in the place of each, and ``checkpoint_5_gda`` a zarr directory. Ramie
gives such arrays to Orbax, so these are only read; by TensorStore, which comes with Orbax.
"""

import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ramie.checkpoint.shardings import can_hold, on_devices
from ramie.checkpoint.storage import integrity
from ramie.errors import (
    MalformedDataError,
    MissingExtraError,
    MPARestoreDataCorruptedError,
    MPARestoreTargetRequiredError,
)
from ramie.serialization.state_dict import to_state_dict

__all__ = ["PLACEHOLDER", "fill"]

PLACEHOLDER = "//GDAPlaceholder:"
"""What stands in the file, before the path of the array."""

_ARRAYS = {np.ndarray}


def fill(state: Any, target: Any, place: str, *, partial: bool) -> Any:
    """Return a state dict with the arrays for which it holds placeholders.

    Args:
      state: what the file holds; returned as it is, if there are none.
      target: the target of the restore. Arrays come with the shardings in it; those it does not
        ask for are not read.
      place: the file.
      partial: whether, in a job of several processes, the target may leave shardings open.

    Raises:
      MPARestoreTargetRequiredError: if it may not, and does.
      CheckpointOptionError: if a sharding is over an abstract mesh that is not the one set.
      MPARestoreDataCorruptedError: if the directory of an array is not there.
      MalformedDataError: if it cannot be read.
      MissingExtraError: if TensorStore is not installed.
    """
    if not _has_placeholders(state):
        return state
    wanted = None if target is None else to_state_dict(on_devices(target))
    return _fill(state, wanted, target is None, place, partial)


def _has_placeholders(state: Any) -> bool:
    """Look for one quickly: there hardly ever is any, and may be very many arrays."""
    containers = [state]
    while containers:
        value = containers.pop()
        if isinstance(value, Mapping):
            if set(map(type, value.values())) != _ARRAYS:
                containers += [item for item in value.values() if type(item) is not np.ndarray]
        elif isinstance(value, str) and value.startswith(PLACEHOLDER):
            return True
    return False


def _fill(state: Any, wanted: Any, everything: bool, place: str, partial: bool) -> Any:
    if isinstance(state, Mapping):
        below = wanted if isinstance(wanted, Mapping) else {}
        return {
            key: _fill(value, below.get(key), everything, place, partial)
            if everything or key in below
            else value
            for key, value in state.items()
        }
    if not (isinstance(state, str) and state.startswith(PLACEHOLDER)):
        return state
    name = state.removeprefix(PLACEHOLDER)
    sharding = getattr(wanted, "sharding", None)
    if sharding is not None and len(sharding.device_set) == 1:
        sharding = None  # as for other arrays of msgpack files
    if sharding is None and jax.process_count() > 1 and not partial:
        raise MPARestoreTargetRequiredError(place, os.path.basename(place), name)
    return _read(place, name, sharding)


def _read(place: str, name: str, sharding: Any) -> Any:
    try:
        import tensorstore
    except ImportError as error:
        purpose = "read arrays that Flax saved from several processes"
        raise MissingExtraError("tensorstore", "orbax", purpose) from error
    folder = os.path.abspath(place + integrity.BESIDE)
    path = os.path.join(folder, name)
    if ".." in name.split("/") or os.path.isabs(name) or not name:
        raise MalformedDataError(f"the placeholder {name[:60]!r} leads elsewhere", source=place)
    if not os.path.isfile(os.path.join(path, ".zarray")):
        raise MPARestoreDataCorruptedError(os.path.basename(place), path)
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": path}}
    try:
        stored = tensorstore.open(spec, open=True, read=True).result()
        shape, dtype = tuple(stored.shape), stored.dtype.numpy_dtype
        if sharding is None or not can_hold(sharding, shape, dtype):
            return np.asarray(stored.read().result())
        return jax.make_array_from_callback(
            shape, sharding, lambda index: np.asarray(stored[index].read().result())
        )
    except ValueError as error:
        problem = str(error).splitlines()[0][:300]
        raise MalformedDataError(problem, name, source=path, writer="Flax") from error
