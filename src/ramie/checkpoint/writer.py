"""Saving: from a tree to a durable checkpoint, and only then the removal of older ones."""

import os
from typing import Any

from ramie.checkpoint import commit, retention, steps, storage
from ramie.checkpoint.formats import msgpack
from ramie.errors import InvalidCheckpointError, UnsupportedCheckpointError

__all__ = ["save"]


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
    retention.check_options(keep, keep_every_n_steps)
    folder, start = steps.split_prefix(storage.local_path(directory), prefix)
    name = steps.checkpoint_name(start, step)
    path = os.path.join(folder, name)
    number = steps.parse_step(name[len(start) :])
    assert number is not None  # checkpoint_name has made sure
    storage.make_directory(folder)
    _check_free(folder, start, number, path, overwrite)
    with commit.staging(folder) as staged:
        staged.write(msgpack.pieces(target, path, step))
        with commit.directory_lock(folder):
            # Another writer may have committed meanwhile.
            later = _check_free(folder, start, number, path, overwrite)
            staged.publish(path)
            doomed = [other for other in later if other.path != path]
            gone = {other.path for other in doomed}
            rest = [other for other in steps.find(folder, start) if other.path not in gone]
            doomed += retention.expired(rest, keep, keep_every_n_steps)
            for other in doomed:
                storage.remove(other.path)
    return path


def _check_free(
    folder: str, start: str, number: int | float, path: str, overwrite: bool
) -> list[steps.Found]:
    """Return the checkpoints that this save replaces, having checked that it may."""
    later = [other for other in steps.find(folder, start) if other.step >= number]
    if later and not overwrite:
        raise InvalidCheckpointError(path, number)
    if storage.kind_of(path) == "directory":
        # A file cannot take a directory's name in one step, and two steps could lose both.
        raise UnsupportedCheckpointError(
            f'Overwriting the directory "{path}" by a file',
            "Save at another step, or remove the directory yourself.",
        )
    return later
