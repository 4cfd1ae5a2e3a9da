"""Restoring: finding the checkpoint that is asked for, and reading it into a target."""

import os
import warnings
from typing import Any

from ramie.checkpoint import health, steps, storage
from ramie.checkpoint.formats import msgpack
from ramie.checkpoint.match import restore_into
from ramie.errors import (
    CheckpointNotFoundError,
    DamagedCheckpointError,
    MalformedDataError,
    UnsupportedCheckpointError,
)

__all__ = ["available_steps", "latest", "newest_intact", "restore"]

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
    fallback: bool = False,
    strict: bool = True,
) -> Any:
    """Read a checkpoint into a copy of a target.

    What was saved by Ramie is compared with the checksums in its manifest on the way.

    Args:
      path: a directory of checkpoints, or one checkpoint.
      target: a tree of the structure that was saved, or None for the plain state dict. Arrays in
        it, or `jax.ShapeDtypeStruct`s, say which shape and dtype is wanted.
      step: which checkpoint of the directory; the latest by default.
      prefix: the start of the names in the directory.
      fallback: if the latest checkpoint is damaged, warn and take the newest that is not.
      strict: whether arrays must have the shape and dtype that the target says; otherwise they
        come as they were saved, as Flax's restore has it.

    Returns:
      The target with the saved values, arrays as numpy arrays; the very target if no step is
      given and there is no checkpoint, so that a first start and a resumed one are written alike.

    Raises:
      CheckpointNotFoundError: if there is none of the given step; a ValueError.
      DamagedCheckpointError: if the file is not what was saved; names the newest checkpoint that
        is undamaged; a MalformedDataError.
      MalformedDataError: if the file has no manifest, and is damaged; a ValueError.
      CheckpointMismatchError: if the structure, a shape or a dtype does not match the target;
        lists all differences by path; a ValueError.
    """
    place = storage.local_path(path)
    if step is not None:
        chosen = _of_step(place, step, prefix)
        try:
            state = _read(chosen)
        except MalformedDataError as error:
            explained = _explained(error, chosen, newest_intact(place, prefix))
            raise explained from (error.__cause__ if explained is error else error)
        return restore_into(target, state, chosen, strict=strict)
    if storage.kind_of(place) != "directory" or _is_orbax(place):
        if _is_absent(place):
            return target
        return restore_into(target, _read(place), place, strict=strict)
    for _ in range(_ATTEMPTS):
        newest = latest(place, prefix)
        if newest is None:
            return target
        try:
            state = _read(newest)
        except FileNotFoundError:
            # A writer's retention removed it after we looked; then there is a newer one.
            continue
        except MalformedDataError as error:
            intact = newest_intact(place, prefix)
            explained = _explained(error, newest, intact)
            if intact is None or not fallback:
                raise explained from (error.__cause__ if explained is error else error)
            warnings.warn(
                f'{explained} Going on with "{intact}", as fallback=True asks for.',
                RuntimeWarning,
                stacklevel=2,
            )
            newest, state = intact, _read(intact)
        return restore_into(target, state, newest, strict=strict)
    raise CheckpointNotFoundError(place, f"{prefix}<step>")


def newest_intact(directory: str | os.PathLike[str], prefix: str = "checkpoint_") -> str | None:
    """Return the path of the newest checkpoint that is not damaged, or None if there is none.

    Args:
      directory: where the checkpoints are; it need not exist.
      prefix: the start of their names.
    """
    found = steps.find(*steps.split_prefix(storage.local_path(directory), prefix))
    for checkpoint in reversed(found):
        if health.verify(checkpoint.path).state != "damaged":
            return checkpoint.path
    return None


def _explained(error: MalformedDataError, chosen: str, intact: str | None) -> MalformedDataError:
    """Say with an error which checkpoint of the directory is not damaged."""
    if isinstance(error, DamagedCheckpointError):
        return DamagedCheckpointError(chosen, error.ranges, intact)
    if intact:
        error.add_note(f'The newest checkpoint that can be read is "{intact}".')
    return error


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
