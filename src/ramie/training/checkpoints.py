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
from collections.abc import Mapping
from typing import Any

import jax

from ramie import checkpoint
from ramie.checkpoint import writer
from ramie.checkpoint.background import AsyncManager as AsyncManager
from ramie.checkpoint.background import snapshot
from ramie.checkpoint.steps import natural_sort as natural_sort
from ramie.checkpoint.storage import safe_normpath as safe_normpath
from ramie.configurations import config
from ramie.core.frozen import FrozenDict
from ramie.errors import CheckpointOptionError, UnsupportedCheckpointError
from ramie.serialization import to_state_dict

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

_NUMBERED = re.compile(r"(.*)_([0-9]+)", re.DOTALL)


def _refuse(given: Mapping[str, Any], instead: str) -> None:
    for name, value in given.items():
        if value is not None:
            raise UnsupportedCheckpointError(f"The parameter {name}", instead)


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
      orbax_checkpointer: not supported yet.

    Returns:
      The path of the checkpoint.

    Raises:
      InvalidCheckpointError: if a checkpoint of this or a later step exists; a ValueError.
      CheckpointOptionError: for a step, prefix or number to keep that makes no sense; a
        ValueError.
      UnsupportedCheckpointError: for what this release cannot do; a NotImplementedError.

    Differs from Flax:
      The file is synced before it is renamed, a prefix that leads out of the directory is
      refused, and 1.0 counts as the same step as 1.
    """
    _refuse(
        {"orbax_checkpointer": orbax_checkpointer},
        "Leave it out: checkpoints are then msgpack files, written before the call returns.",
    )
    if config.flax_use_orbax_checkpointing:
        raise UnsupportedCheckpointError(
            "The setting flax_use_orbax_checkpointing",
            "Turn it off: checkpoints are then msgpack files, which Flax reads too.",
        )
    if async_manager is not None:
        # Which steps are there, and what retention removes, depends on the save before.
        async_manager.wait_previous_save()
    plan = writer.make_plan(
        ckpt_dir,
        step,
        prefix=prefix,
        keep=keep,
        overwrite=overwrite,
        keep_every_n_steps=keep_every_n_steps,
    )
    state = to_state_dict(target)
    if async_manager is None:
        return writer.write(plan, state)
    state = snapshot(state)
    async_manager.save_async(lambda: writer.write(plan, state))
    return plan.path


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
    """Save a training state that the processes of a job share; with one process, as above.

    Args:
      ckpt_dir: see `save_checkpoint`, as for the other parameters.
      target: what to save; arrays sharded over the devices of this process are gathered.
      step: the training step.
      prefix: what the name starts with.
      keep: how many checkpoints stay.
      overwrite: allow a step at or below the latest.
      keep_every_n_steps: let one in so many steps stay.
      async_manager: save in the background.
      gda_manager: accepted; sharded arrays need no manager today.
      orbax_checkpointer: not supported yet.

    Raises:
      UnsupportedCheckpointError: in a job of several processes; a NotImplementedError.
    """
    if jax.process_count() > 1:
        raise UnsupportedCheckpointError(
            "Saving from several processes",
            "Let process 0 call save_checkpoint with arrays that are replicated or gathered.",
        )
    return save_checkpoint(
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
) -> Any:
    """Restore the latest checkpoint of a directory, that of a given step, or a given file.

    Args:
      ckpt_dir: the directory of the checkpoints, or one checkpoint.
      target: a tree of the structure that was saved, or None for the plain state dict.
      step: the step to restore; then `ckpt_dir` is a directory.
      prefix: what the names start with.
      parallel: accepted; arrays are read straight into place, which threads do not speed up.
      gda_manager: accepted; sharded arrays need no manager today.
      allow_partial_mpa_restoration: accepted; it is about arrays spread over several processes,
        which msgpack files do not hold.
      orbax_checkpointer: not supported yet.
      orbax_transforms: not supported yet.

    Returns:
      The target with the saved values, arrays as numpy arrays. Without a checkpoint, and with no
      step given, the very target: a first start and a resumed one can be written alike.

    Raises:
      CheckpointNotFoundError: if there is none of the given step; a ValueError.
      MalformedDataError: if the file is damaged; a ValueError.
      CheckpointMismatchError: if the saved structure does not match the target; lists all that is
        missing; a ValueError. Shapes and dtypes are as saved, whatever the target has, as in Flax;
        `ramie.checkpoint.restore` compares them too.
      UnsupportedCheckpointError: for Orbax directories; a NotImplementedError.
    """
    _refuse(
        {"orbax_checkpointer": orbax_checkpointer, "orbax_transforms": orbax_transforms},
        "Restore Orbax checkpoints with Orbax itself, and msgpack files without it.",
    )
    return checkpoint.restore(ckpt_dir, target, step, prefix=prefix, strict=False)


def latest_checkpoint(ckpt_dir: str | os.PathLike[str], prefix: str = "checkpoint_") -> str | None:
    """Return the path of the checkpoint with the largest step, or None if there is none.

    Args:
      ckpt_dir: the directory of the checkpoints; it need not exist.
      prefix: what their names start with.

    Differs from Flax:
      Only what is called exactly prefix plus number counts, so a `checkpoint_5.bak` does not.
    """
    return checkpoint.latest(ckpt_dir, prefix)


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
    steps = checkpoint.available_steps(ckpt_dir, prefix)
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
