"""What a training loop hands on from time to time: the state, its metrics, and who shows them.

A loop makes a `Checkpoint` or a `Summary` now and then, and passes it through a chain of callables
which return what they got: `SummaryLogger`, `SummaryWriter`, and the writers of `files` and `best`,
beside this file.
"""

import dataclasses
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ramie.errors import MetricNotFoundError

if TYPE_CHECKING:
    from ramie.typing import FrozenDict

__all__ = [
    "Checkpoint",
    "Metrics",
    "Summary",
    "SummaryLogger",
    "SummaryWriter",
    "find_metric",
    "metric_of",
]

Metrics = Mapping[str, float]
"""The metrics of one group by label, for instance ``{"loss": 0.25, "accuracy": 0.9}``."""


@dataclasses.dataclass
class Checkpoint:
    """The state of a training run at one moment.

    Attributes:
      model_params: the parameters of the model.
      model_state: its other variables, such as statistics of batch norm.
      optimizer_state: the state of the optimizer.
      grads: the last gradients; they are handed on, and not saved.
      loss: the last loss.
      n_completed_steps: how many steps were made since the checkpoint before.
      elapsed_time: the seconds which these took.
      step: the step of the training at which this was made.
    """

    model_params: "FrozenDict[Any, Any]"
    model_state: "FrozenDict[Any, Any]"
    optimizer_state: Any
    grads: "FrozenDict[Any, Any]"
    loss: float
    n_completed_steps: int
    elapsed_time: float
    step: int


@dataclasses.dataclass
class Summary(Checkpoint):
    """A checkpoint together with what was measured at it.

    Attributes:
      metrics: the metrics by group and label, as in ``{"eval": {"accuracy": 0.9}}``.
    """

    metrics: Mapping[str, Metrics]


def metric_of(summary: Summary, group: str, metric: str) -> float:
    """Return one metric of a summary.

    Raises:
      TypeError: if it is no `Summary`.
      MetricNotFoundError: if the summary lacks the group or the metric; a ValueError.
    """
    if not isinstance(summary, Summary):
        raise TypeError(
            f"The metric {group}/{metric} is read from a ramie.checkpoint.Summary, and this is a "
            f"{type(summary).__name__}. Give the checkpoint its metrics: Summary(..., metrics=...)."
        )
    return find_metric(summary.metrics, group, metric, f"the summary of step {summary.step}")


def find_metric(metrics: Mapping[str, Metrics], group: str, metric: str, place: str) -> float:
    """Return one of many metrics, or say which there are.

    Raises:
      MetricNotFoundError: if the group or the metric is missing; a ValueError.
    """
    if group not in metrics:
        raise MetricNotFoundError(group, metric, "group", place, list(metrics))
    if metric not in metrics[group]:
        raise MetricNotFoundError(group, metric, "metric", place, list(metrics[group]))
    return float(metrics[group][metric])


def _check(summary: Any, wish: str) -> None:
    if not isinstance(summary, Summary):
        raise TypeError(
            f"To {wish}, a ramie.checkpoint.Summary is needed, and this is a "
            f"{type(summary).__name__}."
        )


class SummaryLogger:
    """Prints summaries as they come, and hands them on.

    Example:
      >>> from ramie.checkpoint import Summary, SummaryLogger
      >>> log = SummaryLogger()
      >>> summary = Summary({}, {}, (), {}, 0.5, 10, 2.0, 30, {"eval": {"accuracy": 0.875}})
      >>> log(summary) is summary
      step 30: 10 steps in 2.00 s
      step 30: eval/accuracy 0.875000
      True
    """

    def __call__(self, summary: Summary) -> Summary:
        """Print the metrics of a summary, one on a line.

        Args:
          summary: what to print.

        Returns:
          The very summary.

        Raises:
          TypeError: if it is none.
        """
        _check(summary, "print metrics")
        start = f"step {summary.step}:"
        print(f"{start} {summary.n_completed_steps} steps in {summary.elapsed_time:.2f} s")
        named = {
            f"{group}/{label}": float(value)
            for group, metrics in summary.metrics.items()
            for label, value in metrics.items()
        }
        width = max(map(len, named), default=0)
        for name, value in named.items():
            print(f"{start} {name:{width}} {value:.6f}")
        return summary


@dataclasses.dataclass
class SummaryWriter:
    """Writes the metrics of summaries for TensorBoard, and hands the summaries on.

    It needs the extra ``ramie[tensorboard]``. The curve of a metric is called ``group/metric``.

    Attributes:
      output_dir: the directory of the event files.
    """

    output_dir: str
    _events: Any = dataclasses.field(default=None, init=False, repr=False, compare=False)

    def __call__(self, summary: Summary) -> Summary:
        """Append the metrics of a summary to the event file.

        Args:
          summary: what to write.

        Returns:
          The very summary.

        Raises:
          TypeError: if it is none.
          MissingExtraError: if no package for event files is installed.
        """
        _check(summary, "write metrics for TensorBoard")
        if self._events is None:
            from ramie.metrics.tensorboard import SummaryWriter as EventWriter

            self._events = EventWriter(self.output_dir)
            weakref.finalize(self, self._events.close)
        for group, metrics in summary.metrics.items():
            for label, value in metrics.items():
                self._events.scalar(f"{group}/{label}", value, summary.step)
        return summary

    def __getstate__(self) -> dict[str, Any]:
        return {"output_dir": self.output_dir, "_events": None}
