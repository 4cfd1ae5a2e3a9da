"""Restoring: finding the checkpoint that is asked for, and reading it into a target."""

import os
from typing import Any

from ramie.checkpoint import steps, storage
from ramie.checkpoint.formats import msgpack
from ramie.errors import CheckpointNotFoundError, UnsupportedCheckpointError
from ramie.serialization import from_state_dict

__all__ = ["available_steps", "latest", "restore"]

_ORBAX_MARKS = ("_CHECKPOINT_METADATA", "_METADATA", "manifest.ocdbt", "checkpoint")
_ATTEMPTS = 10


def latest(directory: str | os.PathLike[str], prefix: str = "checkpoint_") -> str | None:
    """Return the path of the checkpoint with the largest step, or None if there is none.

    Args:
      directory: where the checkpoints are; it need not exist.
      prefix: the start of their names.
    """
    found = steps.find(*steps.split_prefix(storage.local_path(directory), prefix))
    return found[-1].path if found else None


def available_steps(
    directory: str | os.PathLike[str], prefix: str = "checkpoint_"
) -> list[int | float]:
    """Return the steps that have a checkpoint, in order: ints, or floats where they are written so.

    Args:
      directory: where the checkpoints are; it need not exist.
      prefix: the start of their names.
    """
    found = steps.find(*steps.split_prefix(storage.local_path(directory), prefix))
    return [checkpoint.step for checkpoint in found]


def restore(
    path: str | os.PathLike[str],
    target: Any,
    step: int | float | None = None,
    *,
    prefix: str = "checkpoint_",
) -> Any:
    """Read a checkpoint into a copy of a target.

    Args:
      path: a directory of checkpoints, or one checkpoint.
      target: a tree of the structure that was saved, or None for the plain state dict.
      step: which checkpoint of the directory; the latest by default.
      prefix: the start of the names in the directory.

    Returns:
      The target with the saved values, arrays as numpy arrays; the very target if no step is
      given and there is no checkpoint, so that a first start and a resumed one are written alike.

    Raises:
      CheckpointNotFoundError: if there is none of the given step; a ValueError.
      MalformedDataError: if the file is damaged; a ValueError.
      ValueError: if the saved structure does not match; the message names the path.
    """
    place = storage.local_path(path)
    if step is not None:
        return from_state_dict(target, _read(_of_step(place, step, prefix)))
    if storage.kind_of(place) != "directory" or _is_orbax(place):
        return target if _is_absent(place) else from_state_dict(target, _read(place))
    for _ in range(_ATTEMPTS):
        newest = latest(place, prefix)
        if newest is None:
            return target
        try:
            return from_state_dict(target, _read(newest))
        except FileNotFoundError:
            # A writer's retention removed it after we looked; then there is a newer one.
            continue
    raise CheckpointNotFoundError(place, f"{prefix}<step>")


def _is_absent(place: str) -> bool:
    return storage.kind_of(place) == "absent"


def _of_step(place: str, step: Any, prefix: str) -> str:
    """Return the path for a step: the one spelled like it, else the one of equal value."""
    folder, start = steps.split_prefix(place, prefix)
    name = steps.checkpoint_name(start, step)
    found = steps.find(folder, start)
    number = steps.parse_step(name[len(start) :])
    matches = [checkpoint for checkpoint in found if checkpoint.step == number]
    for checkpoint in matches:
        if checkpoint.name == name:
            return checkpoint.path
    if not matches:
        raise CheckpointNotFoundError(folder, name, [checkpoint.name for checkpoint in found])
    return matches[0].path


def _is_orbax(place: str) -> bool:
    return any(os.path.exists(os.path.join(place, mark)) for mark in _ORBAX_MARKS)


def _read(place: str) -> Any:
    if storage.kind_of(place) == "directory":
        raise UnsupportedCheckpointError(
            f'Restoring the directory "{place}", an Orbax checkpoint,',
            "Restore it with Orbax and save it again with save_checkpoint.",
        )
    return msgpack.read(place)
