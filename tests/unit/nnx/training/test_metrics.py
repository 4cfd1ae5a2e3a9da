"""Metrics against NumPy over all values at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import nnx


def _batches():
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(np.float32) for shape in [(3,), (2, 2), (1,)]]


def test_the_mean_is_that_of_all_values():
    metric = nnx.metrics.Average("x")
    batches = _batches()
    for batch in batches:
        metric.update(x=jnp.asarray(batch), other="ignored")
    metric.update(x=2.5)
    metric.update(x=nnx.Variable(jnp.array([1, 2])))
    every = np.concatenate([b.ravel() for b in batches] + [[2.5, 1, 2]]).astype(np.float32)
    assert_close(metric.compute(), every.mean())
    assert_exact(metric.count[...], np.int32(len(every)))
    metric.reset()
    assert np.isnan(metric.compute()) and int(metric.count[...]) == 0


def test_a_mask_is_broadcast_to_the_values():
    metric = nnx.metrics.Average()
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    metric.update(values=jnp.asarray(values), mask=jnp.array([True, False]))
    metric.update(values=jnp.array([8.0, 9.0]), mask=jnp.array([0.0, 1.0]))
    assert_exact(metric.compute(), np.float32((0 + 2 + 4 + 9) / 4))
    with pytest.raises(ValueError, match=r"mask has shape \(3,\).*values, \(3, 2\)"):
        metric.update(values=jnp.asarray(values), mask=jnp.ones(3))
    with pytest.raises(ValueError, match=r"should be a jax array.*int"):
        metric.update(values=1, mask=jnp.ones(1))


def test_values_that_are_none_are_refused():
    with pytest.raises(TypeError, match=r"keyword argument 'values'.*\['loss'\]"):
        nnx.metrics.Average().update(loss=1.0)
    with pytest.raises(TypeError, match=r"takes an array or a number as 'values'.*str"):
        nnx.metrics.Average().update(values="1")


def test_accuracy_of_classes():
    metric = nnx.metrics.Accuracy()
    logits = np.array([[1.0, 2.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 1.0]], np.float32)
    metric.update(logits=jnp.asarray(logits), labels=jnp.array([1, 2, 2]))
    assert_close(metric.compute(), np.float32(2 / 3))
    metric.update(
        logits=jnp.asarray(logits), labels=jnp.array([0, 0, 0]), mask=jnp.array([1, 1, 0])
    )
    assert_close(metric.compute(), np.float32(3 / 5))


def test_accuracy_above_a_threshold():
    metric = nnx.metrics.Accuracy(threshold=0.5)
    metric.update(logits=jnp.array([0.4, 0.7, 0.5]), labels=jnp.array([0, 1, 1]))
    assert_close(metric.compute(), np.float32(2 / 3))


@pytest.mark.parametrize(
    ("threshold", "logits", "labels", "message"),
    [
        (None, (2, 3), (2, 1), r"multi-class classification.*ndim\+1, got 2 and 2"),
        (0.5, (2, 3), (2,), "binary classification, .*got 2 and 1"),
        (None, (2, 3), (4,), r"shape \(2,\), from logits of shape \(2, 3\).*\(4,\)"),
    ],
)
def test_shapes_of_labels_are_checked(threshold, logits, labels, message):
    metric = nnx.metrics.Accuracy(threshold=threshold)
    with pytest.raises(ValueError, match=message):
        metric.update(logits=jnp.zeros(logits), labels=jnp.zeros(labels, jnp.int32))
    with pytest.raises(ValueError, match="int32, got float32"):
        metric.update(
            logits=jnp.zeros((2, 2)), labels=jnp.zeros((2,) if threshold is None else (2, 2))
        )


def test_a_threshold_is_a_float():
    with pytest.raises(TypeError, match="threshold to be a float"):
        nnx.metrics.Accuracy(threshold=1)


def test_mean_and_deviation_are_those_of_all_values():
    metric = nnx.metrics.Welford("x")
    batches = _batches()
    for batch in batches:
        metric.update(x=jnp.asarray(batch))
    metric.update(x=-1)
    every = np.concatenate([b.ravel() for b in batches] + [[-1]]).astype(np.float32)
    found = metric.compute()
    wanted = [every.mean(), every.std(), every.std() / np.sqrt(every.size)]
    values = [found.mean, found.standard_deviation, found.standard_error_of_mean]
    assert_close(np.stack(values), np.array(wanted, np.float32))


def test_welford_does_not_cancel():
    metric = nnx.metrics.Welford()
    for value in (10_001.0, 10_002.0, 10_003.0):
        metric.update(values=value)
    assert_close(metric.compute().standard_deviation, np.float32(np.sqrt(2 / 3)))
    metric.reset()
    assert np.isnan(metric.compute().standard_deviation)


def test_several_metrics_at_once():
    metrics = nnx.MultiMetric(
        loss=nnx.metrics.Average("loss"), accuracy=nnx.metrics.Accuracy(), all=_Largest()
    )
    metrics.update(
        loss=jnp.array([1.0, 3.0]),
        logits=jnp.array([[1.0, 0.0], [1.0, 0.0]]),
        labels=jnp.array([0, 1]),
        mask={"accuracy": jnp.array([1, 0]), "loss": None},
    )
    found = metrics.compute()
    assert list(found) == ["loss", "accuracy", "all"]
    assert_exact(found["loss"], np.float32(2))
    assert_exact(found["accuracy"], np.float32(1))
    assert_exact(found["all"], np.float32(3))
    metrics.reset()
    assert np.isnan(metrics.compute()["loss"])
    metrics.update(
        loss=jnp.array([1.0, 3.0]),
        logits=jnp.zeros((2, 2)),
        labels=jnp.array([0, 1]),
        mask=jnp.array([0, 1]),
    )
    assert_exact(metrics.compute()["loss"], np.float32(3))


class _Largest(nnx.Metric):
    def __init__(self):
        self.value = nnx.metrics.MetricState(jnp.array(-jnp.inf))

    def reset(self):
        self.value[...] = jnp.array(-jnp.inf)

    def update(self, *, loss, **_):
        self.value[...] = jnp.maximum(self.value, loss.max())

    def compute(self):
        return self.value[...]


def test_names_that_are_methods_are_refused():
    with pytest.raises(ValueError, match="cannot be called 'reset'"):
        nnx.MultiMetric(reset=nnx.metrics.Average())


def test_metrics_pass_through_jit_taken_apart():
    metrics = nnx.MultiMetric(b=nnx.metrics.Average("b"), a=nnx.metrics.Welford("a"))
    graphdef, state = metrics.split()
    hash(graphdef)

    @jax.jit
    def update(state, b, a):
        metrics = nnx.merge(graphdef, state)
        metrics.update(b=b, a=a)
        return metrics.split()[1]

    for value in (1.0, 2.0):
        state = update(state, jnp.array(value), jnp.array([value, 3 * value]))
    found = nnx.merge(graphdef, state).compute()
    assert list(found) == ["b", "a"]
    assert_exact(found["b"], np.float32(1.5))
    assert_exact(found["a"].mean, np.float32(3))


def test_what_a_metric_must_define_is_said():
    with pytest.raises(NotImplementedError, match=r"Must override `__init__\(\)`"):
        nnx.Metric()

    class Empty(nnx.Metric):
        def __init__(self):
            pass

    for name in ("reset", "update", "compute"):
        with pytest.raises(NotImplementedError, match=rf"`{name}\(\)`.*Empty"):
            getattr(Empty(), name)()


@pytest.mark.parametrize("junk", [np.nan, np.inf])
@pytest.mark.parametrize("jit", [False, True])
def test_what_is_masked_counts_nothing(junk, jit):
    rng = np.random.default_rng(2)
    values = rng.normal(3, 2, size=(6, 5, 2)).astype(np.float32)
    masks = rng.random((6, 5, 1)) < 0.5
    masks[0], masks[3] = False, False
    kept = np.broadcast_to(masks, values.shape)
    right = values[kept].astype(np.float64)

    def update(metric, values, mask):
        metric.update(values=values, mask=mask)

    update = nnx.jit(update) if jit else update
    average, welford = nnx.metrics.Average(), nnx.metrics.Welford()
    for metric in (average, welford):
        for v, k in zip(np.where(kept, values, junk), masks, strict=True):
            update(metric, jnp.asarray(v), jnp.asarray(k))
    assert_close(average.compute(), np.float32(right.mean()), "model")
    found = welford.compute()
    assert_close(found.mean, np.float32(right.mean()), "model")
    assert_close(found.standard_deviation, np.float32(right.std()), "model")
    assert int(welford.count[...]) == len(right)


@pytest.mark.parametrize("kind", [nnx.metrics.Average, nnx.metrics.Welford])
def test_updates_without_values_change_nothing(kind):
    metric, values = kind(), jnp.array([1.0, 2.0, 4.0])
    empties = [
        (jnp.zeros((0, 3)), None),
        (values, jnp.zeros(3, bool)),
        (values * jnp.nan, 0 * values),
    ]
    for each in (*empties, (values, None), *empties):
        metric.update(values=each[0], mask=each[1])
    alone = kind()
    alone.update(values=values)
    for got, want in zip(
        jax.tree.leaves(nnx.state(metric)), jax.tree.leaves(nnx.state(alone)), strict=True
    ):
        assert_exact(got, want)


def test_a_mask_for_predictions_lets_a_loss_count_once():
    metrics = nnx.MultiMetric(
        accuracy=nnx.metrics.Accuracy(),
        loss=nnx.metrics.Average("loss"),
        spread=nnx.metrics.Welford("loss"),
        each=nnx.metrics.Average("each"),
    )
    logits, labels = jnp.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]]), jnp.array([0, 1, 1])
    for loss, mask in ((1.0, [1, 1, 0]), (jnp.array(3.0), [0, 1, 1]), (jnp.nan, [0, 0, 0])):
        metrics.update(
            logits=logits,
            labels=labels,
            loss=loss,
            each=jnp.arange(3.0),
            mask=jnp.array(mask, bool),
        )
    found = metrics.compute()
    assert_close(found["accuracy"], np.float32(3 / 4))
    assert_close(found["loss"], np.float32(2))
    assert_close(found["spread"].standard_deviation, np.float32(1))
    assert_close(found["each"], np.float32((0 + 1 + 1 + 2) / 4))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("mask", [None, True])
def test_sums_of_sixteen_bits_are_made_in_float32(dtype, mask):
    values = jnp.asarray(np.random.default_rng(0).random(5000) + 0.5, dtype)
    mask = None if mask is None else jnp.ones(5000, bool)
    right = np.asarray(values, np.float64)
    average, welford = nnx.metrics.Average(), nnx.metrics.Welford()
    average.update(values=values, mask=mask)
    welford.update(values=values, mask=mask)
    assert_close(average.compute(), np.float32(right.mean()), "model")
    assert_close(welford.compute().mean, np.float32(right.mean()), "model")
    assert_close(welford.compute().standard_deviation, np.float32(right.std()), "model")
