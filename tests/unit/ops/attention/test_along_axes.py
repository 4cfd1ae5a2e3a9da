"""Attention over chosen axes, against NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie.ops.attention import along_axes as axis_attention

RANDOM = np.random.default_rng(0)
QUERY, KEY, VALUE = (RANDOM.normal(size=(2, 2, 3, 2, 4)).astype(np.float32) for _ in range(3))


def softmax_average(query, key, value, bias=0):
    """Attend over one axis: ``[..., length, depth]``."""
    scores = query @ np.swapaxes(key, -1, -2) / np.float32(np.sqrt(query.shape[-1])) + bias
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ value


def by_hand(axes, bias=0):
    """Flatten the attended axes into one, attend, and take everything back."""
    others = [a for a in range(4) if a not in axes]
    order = (*others, *axes, 4)
    moved = [x.transpose(order) for x in (QUERY, KEY, VALUE)]
    flat = [x.reshape(*x.shape[: len(others)], -1, x.shape[-1]) for x in moved]
    return softmax_average(*flat, bias).reshape(moved[0].shape).transpose(np.argsort(order))


@pytest.mark.parametrize("axis", [None, (1,), 2, (2, 1)])
def test_softmax_runs_over_the_chosen_axes_together(axis):
    axes = (1, 2) if axis is None else (axis,) if isinstance(axis, int) else axis
    y = axis_attention.attend(*map(jnp.asarray, (QUERY, KEY, VALUE)), axis=axis)
    assert_close(y, by_hand(axes))


def test_a_causal_mask_as_bias_hides_what_comes_later():
    mask = axis_attention.causal_mask(KEY.shape, (1, 2))
    assert mask.shape == (1, 1, 2, 3, 2, 3)
    assert_exact(mask.reshape(6, 6), np.tril(np.ones((6, 6), bool)))
    bias = np.where(mask, 0.0, -1e10).astype(np.float32)
    y = axis_attention.attend(*map(jnp.asarray, (QUERY, KEY, VALUE)), jnp.asarray(bias))
    assert_close(y, by_hand((1, 2), bias.reshape(6, 6)))


def test_pairwise_mask_lies_like_the_scores():
    segments = jnp.asarray(RANDOM.integers(0, 2, (2, 2, 3)))
    mask = axis_attention.pairwise_mask(segments, segments, jnp.equal, axis=(1,))
    assert mask.shape == (2, 3, 1, 2, 2)
    held = np.asarray(segments)
    for batch, other, q, k in np.ndindex(2, 3, 2, 2):
        same = held[batch, q, other] == held[batch, k, other]
        assert bool(mask[batch, other, 0, q, k]) == same


@pytest.mark.parametrize("axis", [0, (3,), (-3,), (1, 7)])
def test_axes_that_hold_no_positions_are_refused(axis):
    with pytest.raises(ValueError, match="between the batch axis and the last-two axes"):
        axis_attention.attended_axes(5, axis)


def test_arrays_that_do_not_belong_together_are_refused():
    query, key, value = map(jnp.asarray, (QUERY, KEY, VALUE))
    with pytest.raises(ValueError, match="do not belong together"):
        axis_attention.attend(query, key, value[:, :1])
    with pytest.raises(ValueError, match="outside of the attended axes"):
        axis_attention.attend(query, key[:, :1], value[:, :1], axis=(2,))
