"""A train step and an evaluation on a few images."""

import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie.cli.demo.with_linen import create, evaluate, predict, train_step

IMAGES = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(6, dtype=np.int32)


@pytest.fixture(scope="module")
def state():
    return create(0, IMAGES[:1], learning_rate=0.05)


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
