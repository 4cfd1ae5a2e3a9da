"""Saving and restoring training states by step: the documented functions, on `ramie.checkpoint`.

>>> import tempfile
>>> from ramie.training import checkpoints
>>> with tempfile.TemporaryDirectory() as directory:
...     path = checkpoints.save_checkpoint(directory, {"weights": [1.0, 2.0]}, step=10)
...     checkpoints.restore_checkpoint(directory, {"weights": [0.0, 0.0]})
{'weights': [1.0, 2.0]}
"""

import os
import re
import warnings
from typing import Any

import jax

from ramie.checkpoint import multiprocess, reader
from ramie.checkpoint.formats.msgpack import is_spread
from ramie.checkpoint.saving import directory_writer, planning, writer
from ramie.checkpoint.saving.background import AsyncManager as AsyncManager
from ramie.checkpoint.series.steps import natural_sort as natural_sort
from ramie.checkpoint.storage.entries import safe_normpath as safe_normpath
from ramie.errors import CheckpointMismatchError, CheckpointOptionError
from ramie.foundation.configurations import config
from ramie.trees.frozen import FrozenDict

__all__ = [
    "AsyncManager",
    "available_steps",
    "convert_pre_linen",
    "latest_checkpoint",
    "natural_sort",
    "restore_checkpoint",
    "safe_normpath",
    "save_checkpoint",
    "save_checkpoint_multiprocess",
]

ORBAX_CKPT_FILENAME = "checkpoint"
"""The msgpack file in a step's folder that Orbax wrote in its first layout."""

ORBAX_METADATA_FILENAME = "_METADATA"
ORBAX_MANIFEST_OCDBT = "manifest.ocdbt"
"""Files by which a folder is known as one of Orbax."""

MP_ARRAY_POSTFIX = "_gda"
MP_ARRAY_PH = "//GDAPlaceholder:"
COMMIT_SUCCESS_FILE = "commit_success.txt"
"""What the multi-process checkpoints of early releases put beside, into and after their file."""

_MOST_LINES = 40
_NUMBERED = re.compile(r"(.*)_([0-9]+)", re.DOTALL)


def save_checkpoint(
    ckpt_dir: str | os.PathLike[str],
    target: Any,
    step: int | float,
    prefix: str = "checkpoint_",
    keep: int = 1,
    overwrite: bool = False,
    keep_every_n_steps: int | None = None,
    async_manager: AsyncManager | None = None,
    orbax_checkpointer: Any = None,
) -> str:
    """Save a training state; meant for one process, or for each saving to a directory of its own.

    When this returns (or, with an `async_manager`, when its save is done) the checkpoint is on
    disk, wholly; if the process dies before, it is not there at all, and the earlier ones are.
    Older checkpoints are removed after that.

    Args:
      ckpt_dir: the directory of the checkpoints of a run; created if need be.
      target: what to save, usually a TrainState or a dict of variables.
      step: the training step, or any number that grows; the name ends in it.
      prefix: what the name starts with.
      keep: how many checkpoints stay, this one included; 0 for all.
      overwrite: allow a step at or below the latest; the checkpoints of that and of later steps
        are replaced.
      keep_every_n_steps: besides the last `keep`, let one in so many steps stay.
      async_manager: save in the background, with the values of now; see `AsyncManager`.
      orbax_checkpointer: let this save an Orbax directory instead of a msgpack file, for example
        an `orbax.checkpoint.PyTreeCheckpointer`. An `AsyncCheckpointer` saves in the background:
        its `wait_until_finished` returns when all is done. Without one, Orbax is used if the
        setting ``flax_use_orbax_checkpointing`` is on, with the `async_manager` too.

    Returns:
      The path of the checkpoint.

    Raises:
      InvalidCheckpointError: if a checkpoint of this or a later step exists; a ValueError.
      CheckpointOptionError: for a step, prefix or number to keep that makes no sense, or a manager
        in the place of a checkpointer; a ValueError.
      FormatLimitError: for what Orbax cannot hold, if it saves; a ValueError.
      MPACheckpointingRequiredError: if an array lies partly in other processes, and Orbax is not
        asked for.

    Differs from Flax:
      The data is synced before it gets its name, a prefix that leads out of the directory is
      refused, and 1.0 counts as the same step as 1. By Orbax, too, steps only grow, nothing is
      removed before what replaces it is complete, and pending saves finish when the program ends.
    """
    _check_savers(async_manager, orbax_checkpointer)
    plan = planning.make_plan(
        ckpt_dir,
        step,
        prefix=prefix,
        keep=keep,
        overwrite=overwrite,
        keep_every_n_steps=keep_every_n_steps,
    )
    if orbax_checkpointer is not None or config.flax_use_orbax_checkpointing:
        return directory_writer.save_planned(plan, target, async_manager, orbax_checkpointer)
    return writer.save_planned(plan, target, async_manager)


def _check_savers(manager: Any, checkpointer: Any) -> None:
    if manager is not None and not hasattr(manager, "wait_previous_save"):
        reason = "it is no AsyncManager; pass what saves by Orbax as orbax_checkpointer"
        raise CheckpointOptionError("async_manager", f"of type {type(manager).__name__}", reason)
    is_series = hasattr(checkpointer, "all_steps")
    if checkpointer is not None and (is_series or not hasattr(checkpointer, "save")):
        reason = "it is no checkpointer, such as orbax.checkpoint.PyTreeCheckpointer()"
        if is_series:
            reason += "; a CheckpointManager saves itself, by its save(step, args=...)"
        name = f"of type {type(checkpointer).__name__}"
        raise CheckpointOptionError("orbax_checkpointer", name, reason)


def save_checkpoint_multiprocess(
    ckpt_dir: str | os.PathLike[str],
    target: Any,
    step: int | float,
    prefix: str = "checkpoint_",
    keep: int = 1,
    overwrite: bool = False,
    keep_every_n_steps: int | None = None,
    async_manager: AsyncManager | None = None,
    gda_manager: Any = None,
    orbax_checkpointer: Any = None,
) -> str:
    """Save a training state that the processes of a job share; each of them calls this.

    A state in which arrays are sharded over processes is saved by Orbax, each process writing its
    parts. Any other state is the same everywhere, and process 0 saves it as `save_checkpoint`
    does, while the others wait.

    Args:
      ckpt_dir: see `save_checkpoint`, as for the other parameters; on a file system that all
        processes see.
      target: what to save.
      step: the training step.
      prefix: what the name starts with.
      keep: how many checkpoints stay.
      overwrite: allow a step at or below the latest.
      keep_every_n_steps: let one in so many steps stay.
      async_manager: save in the background; process 0 alone has something to wait for, unless
        Orbax saves.
      gda_manager: accepted; sharded arrays need no manager of their own today. When this returns,
        it has nothing left to wait for.
      orbax_checkpointer: save by Orbax, and with this, whatever the arrays are.

    Returns:
      The path of the checkpoint.

    Raises:
      MissingExtraError: if arrays are sharded over processes, and Orbax is not installed.
      RuntimeError: if another process failed; its own error says why.
    """
    _check_savers(async_manager, orbax_checkpointer)
    by_orbax = orbax_checkpointer is not None or config.flax_use_orbax_checkpointing
    if jax.process_count() > 1 and (by_orbax or any(map(is_spread, jax.tree.leaves(target)))):
        plan = planning.make_plan(
            ckpt_dir,
            step,
            prefix=prefix,
            keep=keep,
            overwrite=overwrite,
            keep_every_n_steps=keep_every_n_steps,
        )
        return directory_writer.save_planned(plan, target, async_manager, orbax_checkpointer)
    return multiprocess.decided_by_first(
        lambda: save_checkpoint(
            ckpt_dir,
            target,
            step,
            prefix,
            keep,
            overwrite,
            keep_every_n_steps,
            async_manager,
            orbax_checkpointer,
        )
    )


def restore_checkpoint(
    ckpt_dir: str | os.PathLike[str],
    target: Any,
    step: int | float | None = None,
    prefix: str = "checkpoint_",
    parallel: bool = True,
    gda_manager: Any = None,
    allow_partial_mpa_restoration: bool = False,
    orbax_checkpointer: Any = None,
    orbax_transforms: Any = None,
    *,
    strict: bool = False,
    must_exist: bool = False,
) -> Any:
    """Restore the latest checkpoint of a directory, that of a given step, or a given file.

    Args:
      ckpt_dir: the directory of the checkpoints, or one checkpoint.
      target: a tree of the structure that was saved, or None for the plain state dict.
      step: the step to restore; then `ckpt_dir` is a directory.
      prefix: what the names start with.
      parallel: accepted; arrays are read straight into place, which threads do not speed up.
      gda_manager: accepted; sharded arrays need no manager today.
      allow_partial_mpa_restoration: in a job of several processes, let the target leave open how
        arrays are sharded that were saved from several devices. They come as numpy arrays then,
        whole, in every process.
      orbax_checkpointer: reads directories that hold something else than a tree; trees are read
        without one. It is waited for, if it saves in the background.
      orbax_transforms: transformations of Orbax, with which it brings what is there to the form
        of the target; an empty dictionary lets the target's values stand for what is missing.
      strict: refuse values of another shape, dtype or type than those of the target, as
        `ramie.checkpoint.restore` does. Otherwise they come as they were saved, as in Flax, with
        one warning that lists them.
      must_exist: refuse a directory without a checkpoint.

    Returns:
      The target with the saved values, arrays as numpy arrays; from an Orbax directory, those that
      are JAX arrays in the target come as such, with the sharding of the target. Without a
      checkpoint, with no step given, and if none must exist, the very target: a first start and a
      resumed one can be written alike.

    Raises:
      CheckpointNotFoundError: if there is none of the given step, or none at all and one must
        exist; a ValueError.
      MalformedDataError: if it is damaged; a ValueError.
      CheckpointMismatchError: if the saved structure does not match the target, or, in a strict
        restore, a value; lists all differences; a ValueError.
      MPARestoreTargetRequiredError: in a job of several processes, if the target does not say how
        an array is sharded that was saved from several devices; a ValueError.
      MissingExtraError: for Orbax directories, if Orbax is not installed.

    Warns:
      UserWarning: of values of another shape, dtype or type, and of a directory whose steps have
        no prefix, such as one of Orbax's CheckpointManager, if it is read with one.

    Differs from Flax:
      Nothing is cast: Flax gives what Orbax saved the dtype of a JAX array in the target, and
      what is missing there the value of the target.
    """
    directory_writer.wait_for(orbax_checkpointer)
    misfits: list[CheckpointMismatchError] = []
    options = reader.Options(
        strict=strict,
        checkpointer=orbax_checkpointer,
        transforms=orbax_transforms,
        partial=allow_partial_mpa_restoration,
        report=misfits.append,
        must_exist=must_exist,
    )
    found = reader.restore_by(options, ckpt_dir, target, step, prefix=prefix, fallback=False)
    for misfit in misfits[-1:]:
        warnings.warn(
            f'The checkpoint "{misfit.source}" does not fit the target. It was restored as it was '
            f"saved:{_shortened(misfit.listed)}\nPass strict=True to refuse what does not fit, or "
            "give a target of what was saved; None in it takes anything.",
            UserWarning,
            stacklevel=2,
        )
    return found


def _shortened(listed: str) -> str:
    """Return a list of which a warning need not show all: there may be thousands of parameters."""
    lines = listed.split("\n")
    rest = len(lines) - _MOST_LINES
    if rest <= 0:
        return listed
    return "\n".join([*lines[:_MOST_LINES], f"    and {rest} more; strict=True lists them all"])


def latest_checkpoint(ckpt_dir: str | os.PathLike[str], prefix: str = "checkpoint_") -> str | None:
    """Return the path of the checkpoint with the largest step, or None if there is none.

    Args:
      ckpt_dir: the directory of the checkpoints; it need not exist.
      prefix: what their names start with.

    Differs from Flax:
      Only what is called exactly prefix plus number counts, so a `checkpoint_5.bak` does not.
    """
    return reader.latest(ckpt_dir, prefix)


def available_steps(
    ckpt_dir: str | os.PathLike[str], prefix: str = "checkpoint_", step_type: type = int
) -> list[int | float]:
    """Return the steps of the checkpoints in a directory, in order.

    Args:
      ckpt_dir: the directory of the checkpoints; it need not exist.
      prefix: what their names start with.
      step_type: `int` or `float`, what the steps are returned as.

    Raises:
      CheckpointOptionError: if `step_type` is int and a step is not whole; a ValueError.
    """
    steps = reader.available_steps(ckpt_dir, prefix)
    if step_type is int and any(step != int(step) for step in steps):
        raise CheckpointOptionError(
            "step_type", step_type, f"not all of the steps {steps} are whole; pass float"
        )
    return [step_type(step) for step in steps]


def convert_pre_linen(params: Any) -> Any:
    """Rename the submodules of parameters saved before Linen, and leave Linen's as they are.

    Submodules used to be numbered in one sequence: `Conv_0`, `Dense_1`. Linen counts each class
    on its own: `Conv_0`, `Dense_0`.

    Args:
      params: nested dicts of parameters. A collection that is not nested, as in those days, goes
        through `traverse_util.unflatten_dict` first.

    Returns:
      The same leaves under the new names; a FrozenDict if `params` is one, else a dict.

    Example:
      >>> from ramie.training.checkpoints import convert_pre_linen
      >>> convert_pre_linen({"Conv_0": {"bias": 1}, "Dense_1": {"bias": 2}})
      {'Conv_0': {'bias': 1}, 'Dense_0': {'bias': 2}}
    """
    renamed = _renumber(params)
    return FrozenDict(renamed) if isinstance(params, FrozenDict) else renamed


def _renumber(params: Any) -> Any:
    if not isinstance(params, (dict, FrozenDict)):
        return params
    counts: dict[str, int] = {}
    result = {}
    for name in natural_sort(params):
        numbered = _NUMBERED.fullmatch(name)
        if numbered:
            base = numbered[1]
            index = counts.get(base, 0)
            counts[base] = index + 1
            result[f"{base}_{index}"] = _renumber(params[name])
        else:
            result[name] = _renumber(params[name])
    return result
