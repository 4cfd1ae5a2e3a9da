"""Planning a save: where it goes, whether it may take place, what it replaces or lets expire."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from ramie.checkpoint.formats.orbax import is_orbax
from ramie.checkpoint.series import retention, steps
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import integrity, remote
from ramie.errors import InvalidCheckpointError, UnsupportedCheckpointError

__all__ = ["Plan", "check", "lasting", "later", "make_plan", "remove", "replaced"]


class Plan(NamedTuple):
    """What a save is to do, made by `make_plan`, done by a writer.

    Older numbers are those under which the step may be there besides its own.
    """

    folder: str
    start: str
    number: int | float
    older: tuple[int | float, ...]
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
    number, *older = steps.numbers_of(step)
    path = os.path.join(folder, name)
    return Plan(folder, start, number, tuple(older), path, keep, overwrite, keep_every_n_steps)


def lasting(plan: Plan) -> Plan:
    """Return a plan that leads to the same place after the working directory has changed."""
    if remote.is_remote(plan.folder):
        return plan
    folder = os.path.abspath(plan.folder)
    return plan._replace(folder=folder, path=os.path.join(folder, os.path.basename(plan.path)))


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
    return [other for other in found if other.step >= plan.number or other.step in plan.older]


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
