"""A rule that ends training when a metric no longer gets better."""

import math
from collections.abc import Iterator
from typing import Any

from ramie.trees import struct

__all__ = ["EarlyStopping"]


class EarlyStopping(struct.PyTreeNode):
    """Watches a metric that should fall, and says when waiting for it is pointless.

    The object is immutable, like every pytree dataclass: `update` returns the next one. All fields
    are leaves, so it can be saved in a checkpoint next to the train state.

    Args:
        min_delta: By how much a value must undercut the best one to count as better.
        patience: How many values in a row that are not better are tolerated.
        best_metric: The lowest value that counted as better; infinite before the first.
        patience_count: Values seen since the last better one.
        should_stop: Whether patience has run out. Stays true once it is, whatever follows.
        has_improved: Whether the last value was better.

    Example:
        >>> from ramie.training.early_stopping import EarlyStopping
        >>> stopping = EarlyStopping(min_delta=0.01, patience=1)
        >>> for epoch, loss in enumerate([0.9, 0.5, 0.495, 0.5, 0.1]):
        ...     stopping = stopping.update(loss)
        ...     if stopping.should_stop:
        ...         break
        >>> epoch, stopping.best_metric
        (3, 0.5)

    Differs from Flax: NaN never counts as better, and any number is better than a first value that
    is NaN, so such a start does not stop a run that improves later. The object can be unpacked as
    `(has_improved, early_stop)`, because older documents have `update` return that pair and newer
    ones the object.
    """

    min_delta: float = 0
    patience: int = 0
    best_metric: float = float("inf")
    patience_count: int = 0
    should_stop: bool = False
    has_improved: bool = False

    def update(self, metric: Any) -> "EarlyStopping":
        """Take one more value of the metric into account.

        Args:
            metric: The newest value, a number or a scalar array; lower is better.

        Returns:
            The rule after this value. One that is infinite is only the best until the next one,
            and so is NaN as the first one; later NaNs are not better than what was before.
        """
        best = self.best_metric
        if math.isinf(best) or (math.isnan(best) and not math.isnan(metric)):
            is_number = not math.isnan(metric)
            return self.replace(best_metric=metric, patience_count=0, has_improved=is_number)
        if best - metric > self.min_delta:
            return self.replace(best_metric=metric, patience_count=0, has_improved=True)
        return self.replace(
            patience_count=self.patience_count + 1,
            should_stop=self.should_stop or self.patience_count >= self.patience,
            has_improved=False,
        )

    def reset(self) -> "EarlyStopping":
        """Forget every value seen, and keep `min_delta` and `patience`."""
        return EarlyStopping(min_delta=self.min_delta, patience=self.patience)

    def __iter__(self) -> Iterator[Any]:
        yield self.has_improved
        yield self
