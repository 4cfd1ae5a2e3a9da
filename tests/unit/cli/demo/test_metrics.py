"""Metrics against NumPy."""

import jax.numpy as jnp
import numpy as np
from tests.tolerance import assert_close

from ramie.cli.demo.metrics import Metrics, cross_entropy


def test_metrics_add_up_over_batches():
    logits = jnp.array([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    labels = jnp.array([0, 0, 0], jnp.int32)
    losses = cross_entropy(logits, labels)
    whole = Metrics.empty().update(losses, logits, labels)
    parts = Metrics.empty().update(losses[:1], logits[:1], labels[:1])
    parts = parts.update(losses[1:], logits[1:], labels[1:])
    assert_close(parts.loss_sum, whole.loss_sum)
    assert whole.accuracy == parts.accuracy == 2 / 3
    assert whole.loss == float(whole.loss_sum) / 3


def test_cross_entropy_is_minus_the_log_of_the_probability():
    logits = np.array([[2.0, 1.0, -1.0]], np.float32)
    expected = -np.log(np.exp(logits[0, 1]) / np.exp(logits[0]).sum())
    assert_close(cross_entropy(logits, np.array([1])), np.array([expected], np.float32))
