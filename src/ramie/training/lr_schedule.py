"""Learning rate as a function of the step: constant, in stairs, or half a cosine.

Each function here returns `f(step) -> learning rate`, usable inside and outside `jax.jit` and as
the learning rate of an optax optimizer. Optax has schedules of its own, more of them and made to be
combined; new code is better served by those. These exist so that programs written with them keep
their numbers.

All three share the linear warm-up of Goyal et al., "Accurate, Large Minibatch SGD"
(https://arxiv.org/abs/1706.02677), section 2.2: the rate grows from 0 to its full value over the
first `warmup_length` epochs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

__all__ = [
    "create_constant_learning_rate_schedule",
    "create_cosine_learning_rate_schedule",
    "create_stepped_learning_rate_schedule",
]

LearningRateFn = Callable[[ArrayLike], Any]


def create_constant_learning_rate_schedule(
    base_learning_rate: float, steps_per_epoch: int, warmup_length: float = 0.0
) -> LearningRateFn:
    """Make a schedule that stays at one value after its warm-up.

    Args:
        base_learning_rate: The rate after the warm-up.
        steps_per_epoch: Optimizer steps in one epoch.
        warmup_length: Epochs over which the rate grows linearly from 0; none when it is 0.

    Returns:
        A function of the step.

    Raises:
        ValueError: `steps_per_epoch` is not positive.

    Example:
        >>> from ramie.training import lr_schedule
        >>> rate = lr_schedule.create_constant_learning_rate_schedule(0.5, 10, warmup_length=2.0)
        >>> [float(rate(step)) for step in (0, 10, 20, 200)]
        [0.0, 0.25, 0.5, 0.5]
    """
    _check_steps_per_epoch(steps_per_epoch)

    def learning_rate_fn(step: ArrayLike) -> Any:
        return _warm_up(base_learning_rate, step, steps_per_epoch, warmup_length)

    return learning_rate_fn


def create_stepped_learning_rate_schedule(
    base_learning_rate: float,
    steps_per_epoch: int,
    lr_sched_steps: Sequence[Sequence[float]],
    warmup_length: float = 0.0,
) -> LearningRateFn:
    """Make a schedule that jumps to another factor after given epochs.

    Args:
        base_learning_rate: The rate before the first jump.
        steps_per_epoch: Optimizer steps in one epoch.
        lr_sched_steps: Pairs `(epoch, factor)` by rising epoch. From the first step after that
            epoch on, the rate is `base_learning_rate * factor`; factors do not accumulate.
        warmup_length: Epochs over which the rate grows linearly from 0; none when it is 0.

    Returns:
        A function of the step.

    Raises:
        ValueError: `lr_sched_steps` does not consist of pairs, or `steps_per_epoch` is not
            positive.

    Example:
        >>> from ramie.training import lr_schedule
        >>> stairs = [(1, 0.5), (2, 0.25)]
        >>> rate = lr_schedule.create_stepped_learning_rate_schedule(1.0, 10, stairs)
        >>> [float(rate(step)) for step in (10, 11, 21)]
        [1.0, 0.5, 0.25]
    """
    _check_steps_per_epoch(steps_per_epoch)
    stairs = [_as_stair(stair, position) for position, stair in enumerate(lr_sched_steps)]
    last_steps = np.array([round(epoch * steps_per_epoch) for epoch, _ in stairs], np.int32)
    rates = np.array([1.0, *(factor for _, factor in stairs)]) * base_learning_rate

    def learning_rate_fn(step: ArrayLike) -> Any:
        steps = jnp.expand_dims(jnp.asarray(step), -1)
        last = np.expand_dims(last_steps, tuple(range(steps.ndim - 1)))
        stairs_passed = jnp.sum(steps > last, axis=-1)
        rate = jnp.take(jnp.asarray(rates, jnp.float32), stairs_passed)
        return _warm_up(rate, step, steps_per_epoch, warmup_length)

    return learning_rate_fn


def create_cosine_learning_rate_schedule(
    base_learning_rate: float,
    steps_per_epoch: int,
    halfcos_epochs: float,
    warmup_length: float = 0.0,
) -> LearningRateFn:
    """Make a schedule that falls to zero along half a cosine wave.

    The cosine runs from step 0, also under the warm-up. When training goes on after
    `halfcos_epochs` the rate stays zero.

    Args:
        base_learning_rate: The height of the wave.
        steps_per_epoch: Optimizer steps in one epoch.
        halfcos_epochs: Epochs until the rate is zero, normally the length of the training.
        warmup_length: Epochs over which the rate grows linearly from 0; none when it is 0.

    Returns:
        A function of the step.

    Raises:
        ValueError: `steps_per_epoch` or `halfcos_epochs` is not positive.

    Example:
        >>> from ramie.training import lr_schedule
        >>> rate = lr_schedule.create_cosine_learning_rate_schedule(1.0, 10, halfcos_epochs=2)
        >>> [round(float(rate(step)), 3) for step in (0, 10, 20)]
        [1.0, 0.5, 0.0]

    Differs from Flax, where the rate rises again after `halfcos_epochs`.
    """
    _check_steps_per_epoch(steps_per_epoch)
    if halfcos_epochs <= 0:
        raise ValueError(f"halfcos_epochs must be positive, but it is {halfcos_epochs}")
    steps_to_zero = halfcos_epochs * steps_per_epoch

    def learning_rate_fn(step: ArrayLike) -> Any:
        # Chosen afterwards: a step that is clipped first would round otherwise.
        is_over = jnp.greater_equal(step, steps_to_zero)
        wave = jnp.where(is_over, -1.0, jnp.cos(step * jnp.pi / steps_to_zero))
        rate = base_learning_rate * (wave * 0.5 + 0.5)
        return _warm_up(rate, step, steps_per_epoch, warmup_length)

    return learning_rate_fn


def _warm_up(rate: Any, step: Any, steps_per_epoch: int, warmup_length: float) -> Any:
    if warmup_length <= 0:
        return rate
    # Two divisions, not one by the product: the rounding is part of the numbers people rely on.
    return rate * jnp.minimum(1.0, step / warmup_length / steps_per_epoch)


def _as_stair(stair: Any, position: int) -> tuple[float, float]:
    try:
        epoch, factor = stair
    except (TypeError, ValueError):
        raise ValueError(
            f"lr_sched_steps[{position}] must be a pair (epoch, factor), for example (30, 0.1), "
            f"but it is {stair!r}"
        ) from None
    return epoch, factor


def _check_steps_per_epoch(steps_per_epoch: int) -> None:
    if steps_per_epoch <= 0:
        raise ValueError(f"steps_per_epoch must be positive, but it is {steps_per_epoch}")
