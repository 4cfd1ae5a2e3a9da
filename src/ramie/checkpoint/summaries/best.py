"""The best checkpoint so far by a metric: who writes its file, and who reads it back.

The lowest ``loss`` of the group ``eval`` is in ``lowest_eval_loss_<step>``, the highest
``accuracy`` in ``highest_eval_accuracy_<step>``. Its file says how good it was, so that a run that
starts again goes on from there.
"""

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from ramie.checkpoint.reader import restore
from ramie.checkpoint.summaries.files import (
    CheckpointFile,
    CheckpointFileReader,
    CheckpointFileWriter,
)
from ramie.checkpoint.summaries.summary import Checkpoint, Summary, find_metric, metric_of

__all__ = [
    "BestCheckpointFileWriter",
    "HighestCheckpointFileReader",
    "HighestCheckpointFileWriter",
    "LowestCheckpointFileReader",
    "LowestCheckpointFileWriter",
]

_LOWEST, _HIGHEST = "lowest", "highest"


def best_prefix(end: str, group: str, metric: str) -> str:
    """Return what the names of the best checkpoints start with.

    Args:
      end: "lowest" or "highest".
      group: the group of the metric.
      metric: its label.
    """
    return f"{end}_{group}_{metric}_"


class BestCheckpointFileWriter(CheckpointFileWriter, abc.ABC):
    """Saves a summary whenever its metric is better than that of all before.

    Subclasses say what is better. A metric that is not a number never is. When the writer is made,
    it looks up how good the best checkpoint in the directory is.

    Args:
      metric: the label of the metric.
      group: the group it is in.
      stdout: print a line for each new best value.
      **kwds: `output_dir`, `keep` and `overwrite` of `CheckpointFileWriter`.

    Raises:
      MetricNotFoundError: if the best checkpoint on disk does not have that metric.
    """

    end: ClassVar[str] = ""

    def __init__(self, metric: str, group: str = "eval", stdout: bool = True, **kwds: Any) -> None:
        super().__init__(**kwds)
        self.metric, self.group, self.stdout = metric, group, stdout
        self.prefix = best_prefix(self.end, group, metric)
        self.best_metric = self._best_on_disk()

    def _best_on_disk(self) -> float | None:
        found = restore(self.output_dir, None, prefix=self.prefix, fallback=True)
        if found is None:
            return None
        metrics = found.get("metrics", {}) if isinstance(found, dict) else {}
        place = f'the checkpoint "{self.prefix}*" of "{self.output_dir}"'
        return find_metric(metrics, self.group, self.metric, place)

    @abc.abstractmethod
    def is_better(self, metric: float, best: float) -> bool:
        """Tell whether one value is better than another."""

    def is_best(self, metric: float) -> bool:
        """Tell whether a value is better than all that were saved.

        Args:
          metric: the value.

        Returns:
          True also for the first one; False for NaN.
        """
        value = float(metric)
        if math.isnan(value):
            return False
        best = self.best_metric
        return best is None or math.isnan(best) or self.is_better(value, best)

    def write(self, checkpoint: Checkpoint | Summary, prefix: str | None = None) -> Any:
        """Save a summary if it is the best so far.

        Args:
          checkpoint: the summary.
          prefix: save it in any case, and under this prefix.

        Returns:
          The very summary.

        Raises:
          TypeError: if it is not a `Summary`; a `Checkpoint` has no metrics to compare.
          MetricNotFoundError: if it lacks the metric; names those it has; a ValueError.
        """
        if prefix is not None:
            return super().write(checkpoint, prefix)
        if not isinstance(checkpoint, Summary):
            raise TypeError(
                f'Nothing was saved to "{self.output_dir}": choosing the {self.end} '
                f"{self.group}/{self.metric} takes a ramie.checkpoint.Summary, and this is a "
                f"{type(checkpoint).__name__}."
            )
        value = metric_of(checkpoint, self.group, self.metric)
        if self.is_best(value):
            super().write(checkpoint, self.prefix)
            self._tell(value, checkpoint.step)
            self.best_metric = value  # not before it is on disk
        return checkpoint

    def _tell(self, value: float, step: int) -> None:
        if self.stdout:
            before = "" if self.best_metric is None else f", before {self.best_metric:g}"
            print(f"step {step}: {self.end} {self.group}/{self.metric} is {value:g}{before}")


class LowestCheckpointFileWriter(BestCheckpointFileWriter):
    """Saves a summary whenever a metric is lower than ever before.

    Args:
      metric: the label of the metric.
      group: the group it is in.
      stdout: print a line for each new lowest value.
      **kwds: `output_dir`, `keep` and `overwrite` of `CheckpointFileWriter`.

    Example:
      >>> import tempfile
      >>> from ramie import checkpoint
      >>> with tempfile.TemporaryDirectory() as directory:
      ...   write = checkpoint.LowestCheckpointFileWriter("loss", output_dir=directory)
      ...   for step, loss in ((1, 0.5), (2, 0.25), (3, 0.75)):
      ...     metrics = {"eval": {"loss": loss}}
      ...     _ = write(checkpoint.Summary({}, {}, (), {}, 0.0, 1, 1.0, step, metrics))
      step 1: lowest eval/loss is 0.5
      step 2: lowest eval/loss is 0.25, before 0.5
    """

    end = _LOWEST

    def is_better(self, metric: float, best: float) -> bool:
        """Tell whether one value is lower than another."""
        return metric < best


class HighestCheckpointFileWriter(BestCheckpointFileWriter):
    """Saves a summary whenever a metric is higher than ever before.

    Args:
      metric: the label of the metric.
      group: the group it is in.
      stdout: print a line for each new highest value.
      **kwds: `output_dir`, `keep` and `overwrite` of `CheckpointFileWriter`.
    """

    end = _HIGHEST

    def is_better(self, metric: float, best: float) -> bool:
        """Tell whether one value is higher than another."""
        return metric > best


@dataclasses.dataclass
class _BestCheckpointFileReader(CheckpointFileReader):
    """Reads what a writer of best checkpoints saved."""

    metric: str
    group: str = "eval"
    end: ClassVar[str]

    def read(
        self, initializer: CheckpointFile | None, prefix: str | None = None
    ) -> CheckpointFile | Mapping[str, Any]:
        """Read the best checkpoint; as `CheckpointFileReader.read`, but for the default prefix."""
        if prefix is None:
            prefix = best_prefix(self.end, self.group, self.metric)
        return super().read(initializer, prefix)


@dataclasses.dataclass
class LowestCheckpointFileReader(_BestCheckpointFileReader):
    """Reads the checkpoint with the lowest value of a metric, as its writer saved it.

    Attributes:
      dir: the directory of the files.
      target: the init function of the model; see `CheckpointFileReader`.
      metric: the label of the metric.
      group: the group it is in.
    """

    end = _LOWEST


@dataclasses.dataclass
class HighestCheckpointFileReader(_BestCheckpointFileReader):
    """Reads the checkpoint with the highest value of a metric, as its writer saved it.

    Attributes:
      dir: the directory of the files.
      target: the init function of the model; see `CheckpointFileReader`.
      metric: the label of the metric.
      group: the group it is in.
    """

    end = _HIGHEST
