"""The same training step in NNX: learns, resumes from its state dict, refuses another one."""

import jax
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie.cli.demo import with_linen, with_nnx

IMAGES = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(6, dtype=np.int32)


@pytest.fixture
def training():
    return with_nnx.create(0, IMAGES[:1], learning_rate=0.05)


def steps(program, state, number):
    for _ in range(number):
        state = program.train_step(state, IMAGES, LABELS)
    return state


def test_training_on_few_images_learns_them(training):
    before = with_nnx.evaluate(training, IMAGES, LABELS)
    training = steps(with_nnx, training, 20)
    after = with_nnx.evaluate(training, IMAGES, LABELS)
    assert after.loss < before.loss and after.accuracy == 1.0
    assert int(with_nnx.metrics_of(training).count) == 120
    assert_exact(with_nnx.predict(training, IMAGES), LABELS)
    assert int(with_nnx.metrics_of(with_nnx.start_epoch(training)).count) == 0


def test_a_training_goes_on_from_its_state_dict(training):
    saved = jax.device_get(with_nnx.to_state_dict(steps(with_nnx, training, 2)))
    resumed = with_nnx.from_state_dict(with_nnx.create(1, IMAGES[:1], 0.05), saved)
    for one, other in zip(
        jax.tree.leaves(with_nnx.to_state_dict(steps(with_nnx, resumed, 1))),
        jax.tree.leaves(with_nnx.to_state_dict(steps(with_nnx, training, 1))),
        strict=True,
    ):
        assert_exact(one, other)


def test_both_programs_compute_the_same_from_the_same_parameters(training):
    state = with_linen.create(0, IMAGES[:1], 0.05)
    names = {"conv1": "Conv_0", "conv2": "Conv_1", "linear1": "Dense_0", "linear2": "Dense_1"}
    for mine, its in names.items():
        layer = getattr(training.model, mine)
        layer.kernel.set_value(state.params[its]["kernel"])
        layer.bias.set_value(state.params[its]["bias"])
    state, training = steps(with_linen, state, 2), steps(with_nnx, training, 2)
    for mine, its in names.items():
        layer = getattr(training.model, mine)
        assert_exact(layer.kernel.get_value(), state.params[its]["kernel"])


def test_a_state_dict_of_another_network_is_refused(training):
    with pytest.raises(ValueError, match=r"at path \./metrics"):
        with_nnx.from_state_dict(training, {"model": {}, "optimizer": {}, "metrics": {}})
