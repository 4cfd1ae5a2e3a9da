"""Saving: from a tree to a durable checkpoint, and only then the removal of older ones."""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ramie.checkpoint.formats import msgpack
from ramie.checkpoint.saving import planning
from ramie.checkpoint.saving.background import AsyncManager, snapshot
from ramie.checkpoint.saving.planning import Plan
from ramie.checkpoint.storage import commit, integrity, remote
from ramie.checkpoint.storage import entries as storage
from ramie.errors import MalformedDataError, UnsupportedCheckpointError
from ramie.serialization.state_dict import to_state_dict

__all__ = ["save", "save_planned", "write", "write_file"]


def save(
    directory: str | os.PathLike[str],
    target: Any,
    step: int | float,
    *,
    prefix: str = "checkpoint_",
    keep: int = 1,
    overwrite: bool = False,
    keep_every_n_steps: int | None = None,
) -> str:
    """Save a tree as the checkpoint of a step; when this returns, it survives a power failure.

    Args:
      directory: where the checkpoints of a run are; created if need be.
      target: any tree of registered containers, numpy or jax arrays and plain values.
      step: the number in the name; larger than those already there.
      prefix: the start of the name.
      keep: how many checkpoints stay, this one included; 0 for all.
      overwrite: allow a step that is not larger; the checkpoints of that and of larger steps are
        replaced.
      keep_every_n_steps: additionally keep one in so many steps; see `retention.expired`.

    Returns:
      The path of the checkpoint.

    Raises:
      InvalidCheckpointError: if a checkpoint of this or a larger step is there.
      CheckpointOptionError: for a prefix, step or number to keep that makes no sense.
      MPACheckpointingRequiredError: if an array lies partly in other processes.
      OSError: if the disk is full, or the like; what was there before is untouched.

    Example:
      >>> import tempfile
      >>> from ramie import checkpoint
      >>> with tempfile.TemporaryDirectory() as directory:
      ...   path = checkpoint.save(directory, {"weights": [1.0, 2.0]}, step=1)
      ...   checkpoint.restore(directory, {"weights": [0.0, 0.0]})
      {'weights': [1.0, 2.0]}
    """
    plan = planning.make_plan(
        directory,
        step,
        prefix=prefix,
        keep=keep,
        overwrite=overwrite,
        keep_every_n_steps=keep_every_n_steps,
    )
    return save_planned(plan, target, None)


def save_planned(plan: Plan, target: Any, manager: AsyncManager | None) -> str:
    """Do what `save` does after planning, or let a manager do it in the background.

    Returns:
      The path of the checkpoint; with a manager, before it is there.
    """
    if manager is not None:
        # Which steps are there, and what retention removes, depends on the save before.
        manager.wait_previous_save()
    planning.check(plan)
    state = to_state_dict(target)
    if manager is None:
        return write(plan, state)
    state, later = snapshot(state), planning.lasting(plan)
    manager.save_async(lambda: write(later, state))
    return plan.path


Staging = commit.Staged | remote.RemoteStaged
"""A file under a temporary name."""


def write(plan: Plan, state: Any) -> str:
    """Write a state dict as planned, then remove what it replaces and what has expired."""
    with _written(plan.folder, msgpack.pieces(state, plan.path, plan.number)) as written:
        # Looked up again: another writer may have committed meanwhile.
        doomed = planning.replaced(plan)
        _publish(plan.path, *written)
        planning.remove(plan, doomed)
    return plan.path


def write_file(path: str, pieces: Iterable[Any]) -> None:
    """Write one file as a checkpoint is: durably, wholly or not at all, and with a manifest.

    Args:
      path: the file; what is there is replaced, and the directory is made if need be.
      pieces: its content.
    """
    place = os.path.abspath(path)
    with _written(os.path.dirname(place), pieces) as written:
        _publish(place, *written)


@contextmanager
def _written(
    folder: str, pieces: Iterable[Any]
) -> Iterator[tuple[Staging, Staging, integrity.Record]]:
    """Write and sync a temporary file, and hold the directory while the caller publishes it.

    Yields:
      The file, another one for its manifest, and what the manifest is to say.
    """
    storage.make_directory(folder)
    checksum = integrity.Checksum()
    try:
        with _staging(folder) as staged, _staging(folder) as sheet:
            staged.write(integrity.checked(pieces, checksum))
            record = checksum.record(staged.inode)
            with commit.directory_lock(folder):
                yield staged, sheet, record
    finally:
        checksum.close()


def _staging(folder: str) -> AbstractContextManager[Staging]:
    if not remote.is_remote(folder):
        return commit.staging(folder)
    remote.clean_leftovers(folder, storage.TEMPORARY_PREFIX)
    return remote.staging(storage.temporary_path(folder))


def _publish(path: str, staged: Staging, sheet: Staging, record: integrity.Record) -> None:
    """Publish a checkpoint after its manifest, which speaks of the file it replaces as well."""
    try:
        old = integrity.read_manifest(path)
    except MalformedDataError:  # it is about to be replaced
        old = None
    before = old.records[:1] if old else ()
    sheet.write([integrity.encode_manifest(path, [record, *before], sheet.inode)])
    # On a fresh name nobody looks before the file is there, and one sync serves both.
    sheet.publish(integrity.manifest_path(path), sync=storage.kind_of(path) != "absent")
    if storage.kind_of(path) == "directory":
        _swap(staged, path)
    else:
        staged.publish(path)


def _swap(staged: Staging, path: str) -> None:
    """Give a file the name of a directory in one step, then remove the directory."""
    if not storage.exchange(staged.path, path):
        raise UnsupportedCheckpointError(
            f'Overwriting the directory "{path}" by a file on this file system',
            "Save at another step, or remove the directory yourself.",
        )
    storage.sync_directory(os.path.dirname(path))
    storage.remove(staged.path)
