"""Saving: from a tree to a durable checkpoint, and only then the removal of older ones."""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from ramie.checkpoint.formats import msgpack
from ramie.checkpoint.formats.orbax import is_orbax
from ramie.checkpoint.series import retention, steps
from ramie.checkpoint.storage import commit, integrity, remote
from ramie.checkpoint.storage import entries as storage
from ramie.errors import (
    InvalidCheckpointError,
    MalformedDataError,
    UnsupportedCheckpointError,
)
from ramie.serialization import to_state_dict

__all__ = [
    "Plan",
    "check",
    "later",
    "make_plan",
    "remove",
    "replaced",
    "save",
    "write",
    "write_file",
]


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
    plan = make_plan(
        directory,
        step,
        prefix=prefix,
        keep=keep,
        overwrite=overwrite,
        keep_every_n_steps=keep_every_n_steps,
    )
    check(plan)
    return write(plan, to_state_dict(target))


Staging = commit.Staged | remote.RemoteStaged
"""A file under a temporary name."""


class Plan(NamedTuple):
    """What a save is to do, checked; made by `make_plan`, done by `write`."""

    folder: str
    start: str
    number: int | float
    path: str
    keep: int
    overwrite: bool
    keep_every_n_steps: int | None


def make_plan(
    directory: str | os.PathLike[str],
    step: int | float,
    *,
    prefix: str,
    keep: int,
    overwrite: bool,
    keep_every_n_steps: int | None,
) -> Plan:
    """Check the parameters of `save`; `check` has to follow before anything is written."""
    retention.check_options(keep, keep_every_n_steps)
    folder, start = steps.split_prefix(storage.local_or_remote(directory), prefix)
    name = steps.checkpoint_name(start, step)
    number = steps.parse_step(name[len(start) :])
    assert number is not None  # checkpoint_name has made sure
    path = os.path.join(folder, name)
    return Plan(folder, start, number, path, keep, overwrite, keep_every_n_steps)


def check(plan: Plan, *, as_directory: bool = False) -> None:
    """Check that a planned save may take place, with what is there now.

    Args:
      plan: the plan.
      as_directory: whether the checkpoint is to be a directory.

    Raises:
      InvalidCheckpointError: if it would replace something, and overwriting is not allowed.
      UnsupportedCheckpointError: if it cannot replace what is there.
    """
    if as_directory and remote.is_remote(plan.path):
        raise UnsupportedCheckpointError(
            f'Saving a directory by Orbax to "{plan.path}"',
            "Save without Orbax, which makes one file, or call Orbax itself.",
        )
    replaced(plan)
    _check_place(plan.path)


def _check_place(path: str) -> None:
    if storage.kind_of(path) == "directory" and not is_orbax(path):
        raise UnsupportedCheckpointError(
            f'Overwriting the directory "{path}", which is no checkpoint,',
            "Save at another step, or remove the directory yourself.",
        )


def write(plan: Plan, state: Any) -> str:
    """Write a state dict as planned, then remove what it replaces and what has expired."""
    with _written(plan.folder, msgpack.pieces(state, plan.path, plan.number)) as written:
        # Looked up again: another writer may have committed meanwhile.
        doomed = replaced(plan)
        _publish(plan.path, *written)
        remove(plan, doomed)
    return plan.path


def remove(plan: Plan, doomed: Iterable[steps.Found]) -> None:
    """Remove what a finished save replaces, and what has expired by it.

    The caller holds `commit.directory_lock`.
    """
    gone = {other.path for other in doomed} - {plan.path}
    rest = [other for other in steps.find(plan.folder, plan.start) if other.path not in gone]
    expired = retention.expired(rest, plan.keep, plan.keep_every_n_steps)
    for path in sorted(gone) + [other.path for other in expired]:
        integrity.remove_with_manifest(path)
    integrity.remove_orphans(plan.folder)


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


def replaced(plan: Plan) -> list[steps.Found]:
    """Return the checkpoints that a save replaces, having checked that it may.

    Raises:
      InvalidCheckpointError: if there are some, and overwriting is not allowed.
    """
    found = later(plan)
    if found and not plan.overwrite:
        raise InvalidCheckpointError(plan.path, plan.number)
    return found


def later(plan: Plan) -> list[steps.Found]:
    """Return the checkpoints of the planned step and of later ones."""
    found = steps.find(plan.folder, plan.start)
    return [other for other in found if other.step >= plan.number]
