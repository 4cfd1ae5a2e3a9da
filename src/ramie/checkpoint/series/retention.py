"""Retention: which of the finished checkpoints to remove."""

import math
from collections.abc import Sequence

from ramie.checkpoint.series.steps import Found
from ramie.errors import CheckpointOptionError

__all__ = ["check_options", "expired"]


def check_options(keep: int, keep_every_n_steps: int | float | None) -> None:
    """Check the settings before anything is written.

    Raises:
      CheckpointOptionError: if one makes no sense.
    """
    if isinstance(keep, bool) or not hasattr(keep, "__index__") or keep < 0:
        raise CheckpointOptionError(
            "keep", keep, "it is the number of checkpoints to keep: 1 or more, or 0 for all"
        )
    if keep_every_n_steps is not None and not keep_every_n_steps >= 0:
        raise CheckpointOptionError(
            "keep_every_n_steps",
            keep_every_n_steps,
            "it is a distance between steps: a positive number, or None or 0 for none",
        )


def expired(
    found: Sequence[Found], keep: int, keep_every_n_steps: int | float | None = None
) -> list[Found]:
    """Return the checkpoints that are not worth keeping.

    Args:
      found: all finished checkpoints, sorted by step, the new one included.
      keep: how many of the last ones stay; 0 for all.
      keep_every_n_steps: of the older ones the first stays, then each that is at least this many
        steps after the last that stayed. Step 0 never counts, as in Flax.
    """
    if keep == 0:
        return []
    doomed = []
    last_kept = -math.inf
    for checkpoint in found[:-keep]:
        far = keep_every_n_steps and checkpoint.step - last_kept >= keep_every_n_steps
        if far and checkpoint.step != 0:
            last_kept = checkpoint.step
        else:
            doomed.append(checkpoint)
    return doomed
