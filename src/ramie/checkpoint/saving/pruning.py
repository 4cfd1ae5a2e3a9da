"""Pruning: removing old checkpoints by hand, by the rules by which saving removes them."""

import os
from typing import NamedTuple

from ramie.checkpoint.inspecting import health
from ramie.checkpoint.series import retention, steps
from ramie.checkpoint.storage import commit, integrity
from ramie.checkpoint.storage import entries as storage
from ramie.errors import CheckpointOptionError

__all__ = ["Pruned", "prune"]


class Pruned(NamedTuple):
    """What `prune` did, or would do.

    Attributes:
      removed: the checkpoints that went.
      kept: those that stay and are not damaged, as far as was looked.
      damaged: those that stay because they are damaged: nobody needs them for a restore, but
        perhaps to find out what happened.
    """

    removed: list[str]
    kept: list[str]
    damaged: list[str]


def prune(
    directory: str | os.PathLike[str],
    keep: int,
    *,
    prefix: str = "checkpoint_",
    keep_every_n_steps: int | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Remove all but the newest checkpoints of a directory.

    The newest ones are verified: a damaged checkpoint does not count as one that is kept.

    Args:
      directory: where they are.
      keep: how many stay.
      prefix: what their names start with.
      keep_every_n_steps: let one in so many steps stay besides, as in `save`.
      dry_run: remove nothing, and say what would be.

    Raises:
      CheckpointNotFoundError: if there is no such directory.
      CheckpointOptionError: if `keep` is not positive, or the directory is a file.
    """
    if isinstance(keep, bool) or not hasattr(keep, "__index__") or keep < 1:
        raise CheckpointOptionError("keep", keep, "at least one checkpoint has to stay")
    retention.check_options(keep, keep_every_n_steps)
    folder, start = steps.split_prefix(storage.local_path(directory), prefix)
    storage.check_directory(folder)
    if dry_run:
        return _choose(steps.find(folder, start), keep, keep_every_n_steps)
    with commit.directory_lock(folder):
        chosen = _choose(steps.find(folder, start), keep, keep_every_n_steps)
        for path in chosen.removed:
            integrity.remove_with_manifest(path)
        integrity.remove_orphans(folder)
        storage.sync_directory(folder)
    return chosen


def _choose(found: list[steps.Found], keep: int, keep_every_n_steps: int | None) -> Pruned:
    intact = 0
    damaged: list[steps.Found] = []
    for checkpoint in reversed(found):
        if intact == keep:
            break
        if _is_damaged(checkpoint.path):
            damaged.append(checkpoint)
        else:
            intact += 1
    rest = [checkpoint for checkpoint in found if checkpoint not in damaged]
    removed = retention.expired(rest, keep, keep_every_n_steps)
    return Pruned(
        [checkpoint.path for checkpoint in removed],
        [checkpoint.path for checkpoint in rest if checkpoint not in removed],
        [checkpoint.path for checkpoint in reversed(damaged)],
    )


def _is_damaged(path: str) -> bool:
    return not health.is_good(path)
