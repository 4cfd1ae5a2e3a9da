"""Checkpoint files of a fixed form, one field for each part of a run's state, and a metric or two.

They are ordinary checkpoints of `checkpoint.save`, wholly there or not there, under names like
``regular_500``.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ramie.checkpoint.formats.match import restore_into
from ramie.checkpoint.reader import restore
from ramie.checkpoint.saving.writer import save
from ramie.checkpoint.summaries.summary import Checkpoint, Summary
from ramie.errors import MalformedDataError
from ramie.trees import struct

if TYPE_CHECKING:
    from ramie.typing import FrozenDict

__all__ = ["CheckpointFile", "CheckpointFileReader", "CheckpointFileWriter"]

REGULAR_PREFIX = "regular_"
"""What the names of files start with when no prefix is given."""


class CheckpointFile(struct.PyTreeNode):
    """The content of a checkpoint file.

    Attributes:
      model_params: the parameters of the model.
      model_state: its other variables.
      optimizer_state: the state of the optimizer.
      step: the step at which it was saved.
      metrics: what was measured then, by group and label; empty if nothing was.
      version: the version of this form.
    """

    model_params: "FrozenDict[Any, Any]"
    model_state: "FrozenDict[Any, Any]"
    optimizer_state: Any
    step: int
    metrics: Mapping[str, Any] = struct.field(default_factory=dict)
    version: int = 0


@dataclasses.dataclass
class CheckpointFileWriter:
    """Saves checkpoints to files; call it, or call `write` to choose the prefix.

    Attributes:
      output_dir: the directory of the files; made if need be.
      keep: how many files of a prefix stay.
      overwrite: whether a checkpoint may replace those of its own and of later steps. Otherwise
        steps only grow.

    Example:
      >>> import tempfile
      >>> from ramie import checkpoint
      >>> state = checkpoint.Checkpoint({"w": 1.0}, {}, (), {}, 0.5, 10, 2.0, step=30)
      >>> with tempfile.TemporaryDirectory() as directory:
      ...   write = checkpoint.CheckpointFileWriter(directory)
      ...   done = write(state)
      ...   read = checkpoint.CheckpointFileReader(directory, target=lambda: None)
      ...   (done is state, read(None)["step"])
      (True, 30)
    """

    output_dir: str
    keep: int = 1
    overwrite: bool = True

    def write(self, checkpoint: Checkpoint | Summary, prefix: str | None = None) -> Any:
        """Save a checkpoint; when this returns, it is on disk.

        Args:
          checkpoint: what to save, all but its gradients. Arrays are saved with all of their axes.
          prefix: what the name of the file starts with, before the step; by default ``regular_``.

        Returns:
          The very checkpoint.

        Raises:
          TypeError: if it is neither a `Checkpoint` nor a `Summary`.
          InvalidCheckpointError: if `overwrite` is off and a file of this or a later step exists.

        Differs from flax_extra:
          Arrays that are replicated over devices on a leading axis are to go through
          `jax_utils.unreplicate` first: what is saved is what was given.
        """
        if not isinstance(checkpoint, Checkpoint):
            raise TypeError(
                f'Nothing was saved to "{self.output_dir}": a Checkpoint or a Summary of '
                f"ramie.checkpoint is needed, and this is a {type(checkpoint).__name__}."
            )
        save(
            self.output_dir,
            _content(checkpoint),
            int(checkpoint.step),
            prefix=REGULAR_PREFIX if prefix is None else prefix,
            keep=self.keep,
            overwrite=self.overwrite,
        )
        return checkpoint

    def __call__(self, checkpoint: Checkpoint | Summary) -> Any:
        """Save a checkpoint under the default prefix and return it; see `write`."""
        return self.write(checkpoint)


@dataclasses.dataclass
class CheckpointFileReader:
    """Reads the latest checkpoint file back; call it, or call `read` to choose the prefix.

    Attributes:
      dir: the directory of the files; it need not exist.
      target: the init function of the model. It is kept for whoever asks for it; what types there
        are is taken from the initial checkpoint.
    """

    dir: str
    target: Callable[..., Any]

    def read(
        self, initializer: CheckpointFile | None, prefix: str | None = None
    ) -> CheckpointFile | Mapping[str, Any]:
        """Read the checkpoint of the largest step.

        Args:
          initializer: a checkpoint of the structure, shapes and dtypes that were saved, for
            instance that of step 0; its metrics do not matter.
          prefix: what the names of the files start with, by default ``regular_``.

        Returns:
          The checkpoint that was found, as nested dictionaries if there is no initializer; the very
          initializer if there is none.

        Raises:
          TypeError: if the initializer is neither a `CheckpointFile` nor a `Checkpoint`.
          MalformedDataError: if the file is damaged, or of another form; a ValueError.
          CheckpointMismatchError: if the file does not fit the initializer; a ValueError.
        """
        if initializer is not None and not isinstance(initializer, (CheckpointFile, Checkpoint)):
            raise TypeError(
                f'Nothing was read from "{self.dir}": the initial checkpoint has to be a '
                f"ramie.checkpoint.CheckpointFile, and this is a {type(initializer).__name__}."
            )
        start = REGULAR_PREFIX if prefix is None else prefix
        state = restore(self.dir, None, prefix=start)
        if state is None:
            return initializer  # type: ignore[return-value]
        if initializer is None:
            return state
        place = f"{self.dir}/{start}*"
        if not isinstance(state, dict):
            raise MalformedDataError("it holds no CheckpointFile", source=place)
        target = _content(initializer) if isinstance(initializer, Checkpoint) else initializer
        metrics = state.get("metrics", {})
        blank = target.replace(metrics={}, step=0, version=0)
        found: CheckpointFile = restore_into(
            blank, {"version": 0, **state, "metrics": {}}, place, strict=True
        )
        return found.replace(metrics=metrics)

    def __call__(self, initializer: CheckpointFile | None) -> CheckpointFile | Mapping[str, Any]:
        """Read the checkpoint of the largest step under the default prefix; see `read`."""
        return self.read(initializer)


def _content(checkpoint: Checkpoint) -> CheckpointFile:
    """Return what is saved of a checkpoint, numbers as plain ones."""
    metrics = checkpoint.metrics if isinstance(checkpoint, Summary) else {}
    return CheckpointFile(
        model_params=checkpoint.model_params,
        model_state=checkpoint.model_state,
        optimizer_state=checkpoint.optimizer_state,
        step=int(checkpoint.step),
        metrics={
            group: {label: float(value) for label, value in values.items()}
            for group, values in metrics.items()
        },
    )
