"""Metrics against NumPy; a train step and an evaluation on a few images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie.demo.model import CNN
from ramie.demo.train import (
    Metrics,
    create_train_state,
    cross_entropy,
    evaluate,
    predict,
    train_step,
)

IMAGES = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(6, dtype=np.int32)


@pytest.fixture(scope="module")
def state():
    return create_train_state(CNN(), jax.random.key(0), IMAGES[:1], learning_rate=0.05)


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


def test_the_network_gives_ten_logits(state):
    logits = state.apply_fn({"params": state.params}, IMAGES)
    assert logits.shape == (6, 10)
    assert_exact(predict(state, IMAGES), logits.argmax(-1))


def test_training_on_few_images_learns_them(state):
    before = evaluate(state, IMAGES, LABELS)
    for _ in range(20):
        state = train_step(state, IMAGES, LABELS)
    after = evaluate(state, IMAGES, LABELS)
    assert after.loss < before.loss and after.accuracy == 1.0
    assert int(state.step) == 20 and int(state.metrics.count) == 120
