"""Mistakes with files and checkpoints."""

from __future__ import annotations

from typing import Any

from ramie.errors.base import RamieError

__all__ = [
    "AlreadyExistsError",
    "InvalidCheckpointError",
    "MPACheckpointingRequiredError",
    "MPARestoreDataCorruptedError",
    "MPARestoreTargetRequiredError",
    "MPARestoreTypeNotMatchError",
]


class AlreadyExistsError(RamieError, FileExistsError):
    """A copy or a rename would replace a file that is there.

    Args:
        path: The file in the way.
    """

    def __init__(self, path: Any) -> None:
        super().__init__(
            f'Trying overwrite an existing file: "{path}". Pass overwrite=True if it may be '
            "replaced, or choose another destination."
        )


class InvalidCheckpointError(RamieError, ValueError):
    """A checkpoint is to be saved at a step that is not newer than the latest one there.

    Args:
        path: The checkpoint that was to be written, or its directory.
        step: The step that was asked for.
    """

    def __init__(self, path: Any, step: Any) -> None:
        super().__init__(
            f'Trying to save an outdated checkpoint at step: "{step}" and path: "{path}". There is '
            "one of this or a later step already. Save at a larger step, or pass overwrite=True, "
            "which removes that checkpoint and all later ones."
        )


class MPACheckpointingRequiredError(RamieError, RuntimeError):
    """An array spread over several processes is to be saved or restored without an engine for it.

    Args:
        path: The checkpoint.
        step: Its step.
    """

    def __init__(self, path: Any, step: Any) -> None:
        super().__init__(
            f'Checkpoint failed at step: "{step}" and path: "{path}": it holds arrays that are '
            "sharded over several processes, which one alone cannot write or read. Let every "
            "process call save_checkpoint_multiprocess, which needs Orbax: pip install "
            "'ramie[orbax]'."
        )


class MPARestoreTargetRequiredError(RamieError, ValueError):
    """A multi-process array is to be restored without a target that says how to shard it.

    Args:
        path: The checkpoint.
        step: Its step.
        key: The path of the array in the tree, when known.
    """

    def __init__(self, path: Any, step: Any, key: str | None = None) -> None:
        where = f' for the array at "{key}"' if key else ""
        super().__init__(
            f'Restore checkpoint failed at step: "{step}" and path: "{path}": it needs a '
            f"sharding{where}, and the target does not give one. Pass a target tree that holds a "
            "sharded array of the right shape there, or allow_partial_mpa_restoration=True to "
            "leave those arrays out."
        )


class MPARestoreDataCorruptedError(RamieError, ValueError):
    """The data of a multi-process array lacks the mark that its save was completed.

    Args:
        step: Step of the checkpoint.
        path: The directory without the mark.
    """

    def __init__(self, step: Any, path: Any) -> None:
        super().__init__(
            f'Restore checkpoint failed at step: "{step}" on multiprocess array at "{path}": there '
            'is no "commit_success.txt", so its save was cut short or the data is damaged. Restore '
            "an earlier step."
        )


class MPARestoreTypeNotMatchError(RamieError, TypeError):
    """A multi-process array was saved as another kind of array than the one to be restored.

    Args:
        step: Step of the checkpoint.
        gda_path: Where the array's data lies.
    """

    def __init__(self, step: Any, gda_path: Any) -> None:
        super().__init__(
            f'Restore checkpoint failed at step: "{step}" on multiprocess array at "{gda_path}": '
            "the target does not hold a jax.Array there. Put sharded jax.Arrays in the target; the "
            "older GlobalDeviceArray no longer exists."
        )
