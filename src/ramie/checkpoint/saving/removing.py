"""Removing one checkpoint by its step, and all that belongs to it."""

import os

from ramie.checkpoint.series import steps
from ramie.checkpoint.storage import commit, integrity
from ramie.checkpoint.storage import entries as storage
from ramie.errors import CheckpointNotFoundError, CheckpointOptionError

__all__ = ["remove"]


def remove(
    directory: str | os.PathLike[str],
    step: int | float,
    *,
    prefix: str = "checkpoint_",
    dry_run: bool = False,
) -> str:
    """Remove the checkpoint of a step, damaged or not, and its checksums.

    Args:
      directory: where it is.
      step: its step.
      prefix: what its name starts with.
      dry_run: remove nothing; only check that it could be removed.

    Returns:
      The path that it had.

    Raises:
      CheckpointNotFoundError: if there is no directory, or no checkpoint of this step.
      CheckpointOptionError: if what has its name is no finished checkpoint, such as a directory
        that Orbax has not finished, or the directory is a file.
      CheckpointBusyError: if another process has been committing to the directory for too long.

    Example:
      >>> import tempfile
      >>> from ramie import checkpoint
      >>> with tempfile.TemporaryDirectory() as directory:
      ...   for step in (1, 2, 3):
      ...     _ = checkpoint.save(directory, {"a": step}, step, keep=0)
      ...   _ = checkpoint.remove(directory, 2)
      ...   checkpoint.available_steps(directory)
      [1, 3]
    """
    folder, start = steps.split_prefix(storage.local_path(directory), prefix)
    storage.check_directory(folder)
    if dry_run:
        return _path_of(folder, start, step)
    with commit.directory_lock(folder):
        path = _path_of(folder, start, step)
        integrity.remove_with_manifest(path)
        storage.sync_directory(folder)
    return path


def _path_of(folder: str, start: str, step: int | float) -> str:
    """Return where the checkpoint of a step is, however the number is written in its name."""
    name = steps.checkpoint_name(start, step)
    for checkpoint in steps.find(folder, start):
        if checkpoint.step == step:
            return checkpoint.path
    path = os.path.join(folder, name)
    if storage.kind_of(path) != "absent":
        unfinished = f"{path!r} is no finished checkpoint: it is being written, or of another kind"
        raise CheckpointOptionError("step", step, unfinished)
    raise CheckpointNotFoundError(folder, name, None)
