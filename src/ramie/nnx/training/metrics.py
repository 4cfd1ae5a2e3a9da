"""Metrics: running values over the batches of an epoch, which pass through transformations."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ramie.nnx.graph.functional import split
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states.filters import Filter
from ramie.nnx.variable.base import Variable
from ramie.trees import struct
from ramie.typing import Array

__all__ = [
    "Accuracy",
    "Average",
    "Metric",
    "MetricState",
    "MultiMetric",
    "Statistics",
    "Welford",
]

A = TypeVar("A")


class MetricState(Variable[A]):
    """What a metric has gathered so far."""

    __slots__ = ()


def _missing(metric: Any, name: str) -> NotImplementedError:
    return NotImplementedError(
        f"Must override `{name}()` method: a Metric says how it starts, gathers and concludes, "
        f"and {type(metric).__name__} does not."
    )


class Metric(Pytree):
    """The base of metrics: gathers values with `update`, concludes with `compute`.

    A subclass defines `__init__`, `reset`, `update` and `compute`, and keeps its arrays in
    variables of the class `MetricState`.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> class Largest(nnx.Metric):
        ...     def __init__(self):
        ...         self.largest = nnx.metrics.MetricState(jnp.array(-jnp.inf))
        ...     def reset(self):
        ...         self.largest[...] = jnp.array(-jnp.inf)
        ...     def update(self, *, values, **_):
        ...         self.largest[...] = jnp.maximum(self.largest, values.max())
        ...     def compute(self):
        ...         return self.largest[...]
        >>> metric = Largest()
        >>> metric.update(values=jnp.arange(3.0))
        >>> metric.compute()
        Array(2., dtype=float32)
    """

    def __init__(self) -> None:
        raise _missing(self, "__init__")

    def reset(self) -> None:
        """Forget what was gathered."""
        raise _missing(self, "reset")

    def update(self, **kwargs: Any) -> None:
        """Take further values in.

        Args:
          **kwargs: the values; a metric ignores those that are not for it.
        """
        raise _missing(self, "update")

    def compute(self) -> Any:
        """Return what follows from all values so far."""
        raise _missing(self, "compute")

    def split(self, *filters: Filter) -> Any:
        """Take the metric apart, as `nnx.split` does.

        Args:
          *filters: one for each state to return.
        """
        return split(self, *filters)


def _values(metric: Any, kwargs: dict[str, Any]) -> Any:
    """Find the values that are for a metric among keywords."""
    name = metric.argname
    if name not in kwargs:
        raise TypeError(
            f"Expected keyword argument '{name}', from which {type(metric).__name__} takes its "
            f"values, but got {sorted(kwargs)}."
        )
    values = kwargs[name]
    if not isinstance(values, int | float | np.generic) and not hasattr(values, "dtype"):
        raise TypeError(
            f"{type(metric).__name__} takes an array or a number as '{name}', but got "
            f"{type(values).__name__}: {values!r}."
        )
    return values.get_value() if isinstance(values, Variable) else values


def _spread(mask: Any, values: Any) -> Array:
    """Return a mask in the shape of the values it is for."""
    if not isinstance(values, jax.Array | np.ndarray):
        raise ValueError(
            "If mask is provided, values should be a jax array, but they are "
            f"{type(values).__name__}: {values!r}."
        )
    try:
        return jnp.broadcast_to(jnp.asarray(mask), values.shape)
    except ValueError as error:
        raise ValueError(
            f"The mask has shape {jnp.shape(mask)}, which does not broadcast to that of the "
            f"values, {values.shape}."
        ) from error


def _sum(values: Any) -> Any:
    """Add values up; those of 16 bits as float32."""
    return values.sum(dtype=_wide(values))


def _wide(values: Any) -> Any:
    """Return the dtype in which values are gathered; None for that which JAX chooses."""
    is_narrow = jnp.issubdtype(values.dtype, jnp.floating) and values.dtype.itemsize < 4
    return jnp.float32 if is_narrow else None


class Average(Metric):
    """The mean of all values.

    Args:
      argname: the keyword of `update` under which the values come.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> metric = nnx.metrics.Average()
        >>> metric.update(values=jnp.array([1.0, 2.0, 3.0]))
        >>> metric.update(values=4.0)
        >>> metric.compute()
        Array(2.5, dtype=float32)

    Differs from Flax: a mask that is broadcast counts once for each value that it lets through;
    there it counts as often as it is long, so that the mean is not one.
    """

    def __init__(self, argname: str = "values") -> None:
        self.argname = argname
        self.total = MetricState(jnp.array(0, jnp.float32))
        self.count = MetricState(jnp.array(0, jnp.int32))

    def reset(self) -> None:
        """Forget all values."""
        self.total[...] = jnp.array(0, jnp.float32)
        self.count[...] = jnp.array(0, jnp.int32)

    def update(self, mask: Array | None = None, **kwargs: Any) -> None:
        """Take further values in.

        Args:
          mask: which values count, and how much of the total each is; broadcast to the values.
          **kwargs: the values are under the name that the metric was made with.

        Raises:
          TypeError: if there are no values of this name.
          ValueError: if there is a mask and it does not fit the values.
        """
        values = _values(self, kwargs)
        if mask is not None:
            mask = _spread(mask, values)
            # What does not count may be anything, also no number.
            self.total[...] += _sum(jnp.where(mask != 0, values * mask, 0))
            self.count[...] += mask.sum().astype(jnp.int32)
        elif isinstance(values, int | float):
            self.total[...] += values
            self.count[...] += 1
        else:
            self.total[...] += _sum(values)
            self.count[...] += values.size

    def compute(self) -> Array:
        """Return the mean, not a number if there were no values."""
        mean: Array = self.total / self.count
        return mean


class Accuracy(Average):
    """The part of predictions that are right.

    Args:
      threshold: without one, the prediction is the class with the largest logit; with one, there
        are two classes, and the prediction is whether the value is above the threshold.
      *args: as for `Average`.
      **kwargs: as for `Average`.

    Raises:
      TypeError: if the threshold is no float.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> metric = nnx.metrics.Accuracy()
        >>> metric.update(logits=jnp.array([[1.0, 2.0], [3.0, 0.0]]), labels=jnp.array([1, 1]))
        >>> metric.compute()
        Array(0.5, dtype=float32)
    """

    def __init__(self, threshold: float | None = None, *args: Any, **kwargs: Any) -> None:
        if threshold is not None and not isinstance(threshold, float):
            raise TypeError(f"Expected threshold to be a float, got {type(threshold)}")
        self.threshold = threshold
        super().__init__(*args, **kwargs)

    def update(  # type: ignore[override]
        self, *, logits: Array, labels: Array, mask: Array | None = None, **_: Any
    ) -> None:
        """Take further predictions in.

        Args:
          logits: [..., classes]; with a threshold [...].
          labels: [...], the right classes, as int32.
          mask: which predictions count; broadcast to the labels.

        Raises:
          ValueError: if the shapes do not go together, or the labels have another element type.
        """
        threshold = self.threshold
        ranks = np.ndim(logits), np.ndim(labels)
        if ranks[0] != ranks[1] + (threshold is None):
            kind, wanted = ("multi-class", "+1") if threshold is None else ("binary", "")
            raise ValueError(
                f"For {kind} classification, expected logits.ndim==labels.ndim{wanted}, got "
                f"{ranks[0]} and {ranks[1]}"
            )
        if labels.dtype not in (jnp.int32, np.int32, jnp.int64):
            raise ValueError(f"Expected labels.dtype==jnp.int32, got {labels.dtype}")
        predictions = logits.argmax(axis=-1) if threshold is None else logits > threshold
        if predictions.shape != labels.shape:
            raise ValueError(
                f"There are predictions of shape {predictions.shape}, from logits of shape "
                f"{logits.shape}, but labels of shape {labels.shape}."
            )
        super().update(**{self.argname: predictions == labels}, mask=mask)


def _masked_moments(values: Any, kept: Array) -> tuple[Array, Array, Array]:
    """Return how many values count, their mean, and the sum of their squared distances from it."""
    wide = _wide(values) or jnp.promote_types(values.dtype, jnp.float32)
    size = kept.sum(dtype=jnp.int32)
    values = jnp.where(kept, values, 0).astype(wide)
    mean = values.sum() / jnp.maximum(size, 1)
    return size, mean, jnp.where(kept, jnp.square(values - mean), 0).sum()


@struct.dataclass
class Statistics:
    """What is known of a sample.

    Attributes:
      mean: the mean.
      standard_error_of_mean: how far the mean may be from that of the population.
      standard_deviation: how far values are from the mean.
    """

    mean: Array
    standard_error_of_mean: Array
    standard_deviation: Array


class Welford(Metric):
    """Mean and deviation of all values, in one pass and without cancellation.

    Args:
      argname: the keyword of `update` under which the values come.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> metric = nnx.metrics.Welford()
        >>> metric.update(values=jnp.array([1.0, 3.0]))
        >>> metric.compute().mean, metric.compute().standard_deviation
        (Array(2., dtype=float32), Array(1., dtype=float32))

    Reference:
      Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
      Variances", 1979.

    Differs from Flax: it takes a mask, and an update without values changes nothing; there the mean
    is not a number from then on.
    """

    def __init__(self, argname: str = "values") -> None:
        self.argname = argname
        self.count = MetricState(jnp.array(0, jnp.int32))
        self.mean = MetricState(jnp.array(0, jnp.float32))
        self.m2 = MetricState(jnp.array(0, jnp.float32))

    def reset(self) -> None:
        """Forget all values."""
        self.count[...] = jnp.array(0, jnp.int32)
        self.mean[...] = jnp.array(0, jnp.float32)
        self.m2[...] = jnp.array(0, jnp.float32)

    def update(self, *, mask: Array | None = None, **kwargs: Any) -> None:
        """Take further values in.

        Args:
          mask: which values count; broadcast to the values.
          **kwargs: the values are under the name that the metric was made with.

        Raises:
          TypeError: if there are no values of this name.
          ValueError: if there is a mask and it does not fit the values.
        """
        values = _values(self, kwargs)
        size: Any
        mean: Any
        if mask is not None:
            size, mean, inside = _masked_moments(values, _spread(mask, values) != 0)
        elif isinstance(values, int | float):
            size, mean, inside = 1, values, 0.0
        elif values.size:
            wide, size = _wide(values), values.size
            mean, inside = values.mean(dtype=wide), values.var(dtype=wide) * size
        else:
            return
        before = self.count[...]
        total = before + size
        distance = mean - self.mean
        divisor = total if mask is None else jnp.maximum(total, 1)
        self.count[...] = total
        self.mean[...] += distance * size / divisor
        self.m2[...] += inside + distance * distance * size * before / divisor

    def compute(self) -> Statistics:
        """Return mean, deviation and error; the latter two are not numbers without values."""
        deviation = jnp.sqrt(self.m2 / self.count)
        return Statistics(
            mean=self.mean[...],
            standard_error_of_mean=deviation / jnp.sqrt(self.count[...]),
            standard_deviation=deviation,
        )


def _for_one(metric: Any, updates: dict[str, Any], mask: Any) -> dict[str, Any]:
    """Return the keywords for one of several metrics, which share a mask."""
    if mask is None:
        return updates
    takes_values = isinstance(metric, Average | Welford) and not isinstance(metric, Accuracy)
    if takes_values and metric.argname in updates and np.ndim(mask):
        value = _values(metric, updates)
        if not np.ndim(value):
            some = jnp.any(jnp.asarray(mask) != 0)
            return {**updates, metric.argname: jnp.asarray(value), "mask": some}
    return {**updates, "mask": mask}


class MultiMetric(Metric):
    """Several metrics that are updated together, and read together.

    Args:
      **metrics: the metrics; they are attributes, too.

    Raises:
      ValueError: if a name is that of a method.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> metrics = nnx.MultiMetric(loss=nnx.metrics.Average("loss"), all=nnx.metrics.Average())
        >>> metrics.update(loss=jnp.array([1.0, 2.0]), values=5)
        >>> metrics.compute()
        {'loss': Array(1.5, dtype=float32), 'all': Array(5., dtype=float32)}
    """

    def __init__(self, **metrics: Any) -> None:
        for name in metrics:
            if hasattr(type(self), name) or name == "_metric_names":
                raise ValueError(
                    f"A metric of a {type(self).__name__} cannot be called {name!r}: that is an "
                    "attribute of the class."
                )
        self._metric_names = tuple(metrics)
        for name, metric in metrics.items():
            setattr(self, name, metric)

    def reset(self) -> None:
        """Let each metric forget what it gathered."""
        for name in self._metric_names:
            getattr(self, name).reset()

    def update(self, **updates: Any) -> None:
        """Pass values to each metric.

        Args:
          **updates: the keywords for all metrics. A `mask` may be a dictionary, from the names of
            metrics to the mask for each; metrics it does not name get none. With a mask for many
            values, a single value for `Average` or `Welford`, such as the loss of the batch, counts
            once, or not at all if the mask lets nothing through.
        """
        masks = updates.get("mask")
        if isinstance(masks, dict):
            del updates["mask"]
        for name in self._metric_names:
            metric = getattr(self, name)
            mask = masks.get(name) if isinstance(masks, dict) else masks
            metric.update(**_for_one(metric, updates, mask))

    def compute(self) -> dict[str, Any]:
        """Return what each metric computes, by name."""
        return {name: getattr(self, name).compute() for name in self._metric_names}
