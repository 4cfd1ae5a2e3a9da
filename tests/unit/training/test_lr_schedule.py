"""Schedules against their closed forms."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie.training import lr_schedule

STEPS = np.arange(0, 45)


def values(schedule):
    return np.array([schedule(int(step)) for step in STEPS], np.float32)


def test_constant():
    assert_exact(
        values(lr_schedule.create_constant_learning_rate_schedule(0.1, 10)),
        np.full(STEPS.shape, 0.1, np.float32),
    )


def test_warm_up_is_linear_and_ends():
    rates = values(lr_schedule.create_constant_learning_rate_schedule(0.1, 10, warmup_length=2.0))
    assert_close(rates, (0.1 * np.minimum(1, STEPS / 20)).astype(np.float32))


def test_stairs_change_after_their_epoch_and_do_not_accumulate():
    rates = values(
        lr_schedule.create_stepped_learning_rate_schedule(0.8, 10, [[1, 0.5], [3, 0.25]])
    )
    expected = np.where(STEPS > 30, 0.2, np.where(STEPS > 10, 0.4, 0.8)).astype(np.float32)
    assert_close(rates, expected)


def test_no_stairs_is_constant():
    assert_close(
        values(lr_schedule.create_stepped_learning_rate_schedule(0.3, 10, [])),
        np.full(STEPS.shape, 0.3, np.float32),
    )


def test_half_a_cosine():
    rates = values(lr_schedule.create_cosine_learning_rate_schedule(0.4, 10, 3, warmup_length=1))
    wave = 0.2 * (1 + np.cos(math.pi * np.minimum(STEPS, 30) / 30)) * np.minimum(1, STEPS / 10)
    assert_close(rates, wave.astype(np.float32))


@pytest.mark.parametrize(
    ("schedule", "end", "value"),
    [
        (lr_schedule.create_constant_learning_rate_schedule(0.5, 10, 2.0), 20, 0.5),
        (
            lr_schedule.create_stepped_learning_rate_schedule(0.5, 10, [[1, 0.5], [3, 0.25]]),
            31,
            0.125,
        ),
        (lr_schedule.create_cosine_learning_rate_schedule(0.5, 10, 3), 30, 0.0),
        (lr_schedule.create_cosine_learning_rate_schedule(0.5, 10, 2.5, 4.0), 25, 0.0),
    ],
    ids=["constant", "stepped", "cosine", "cosine, still in its warm-up"],
)
def test_the_end_value_is_held(schedule, end, value):
    steps = np.array([end, end + 1, 2 * end, 10 * end, 2**30])
    assert_exact(np.asarray(schedule(steps)), np.full(5, value, np.float32))
    assert_exact(np.asarray(jax.jit(schedule)(steps)), np.full(5, value, np.float32))
    assert all(float(schedule(int(step))) == value for step in steps)


@pytest.mark.parametrize(
    "schedule",
    [
        lr_schedule.create_constant_learning_rate_schedule(0.1, 10, 2.0),
        lr_schedule.create_stepped_learning_rate_schedule(0.1, 10, [[1, 0.5], [3, 0.25]], 0.5),
        lr_schedule.create_cosine_learning_rate_schedule(0.1, 10, 4, 1.0),
    ],
    ids=["constant", "stepped", "cosine"],
)
def test_works_traced_and_on_many_steps_at_once(schedule):
    one_by_one = values(schedule)
    assert_close(jax.jit(schedule)(jnp.asarray(STEPS)), one_by_one)
    assert_close(np.asarray(schedule(jnp.asarray(STEPS))), one_by_one)


def test_goes_into_an_optax_optimizer():
    optax = pytest.importorskip("optax")
    tx = optax.sgd(lr_schedule.create_stepped_learning_rate_schedule(1.0, 1, [[0, 0.5]]))
    state = tx.init(jnp.zeros(()))
    first, state = tx.update(jnp.ones(()), state)
    second, _ = tx.update(jnp.ones(()), state)
    assert (float(first), float(second)) == (-1.0, -0.5)


def test_refuses_what_makes_no_schedule():
    with pytest.raises(ValueError, match=r"lr_sched_steps\[1\] must be a pair"):
        lr_schedule.create_stepped_learning_rate_schedule(0.1, 10, [[1, 0.1], 2])
    with pytest.raises(ValueError, match="steps_per_epoch must be positive"):
        lr_schedule.create_constant_learning_rate_schedule(0.1, 0)
    with pytest.raises(ValueError, match="halfcos_epochs must be positive"):
        lr_schedule.create_cosine_learning_rate_schedule(0.1, 10, 0)
