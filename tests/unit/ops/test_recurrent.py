"""Recurrent steps against the equations in NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerance import assert_close, assert_exact

from ramie.ops import recurrent


def _arrays(count, *shape):
    values = np.random.default_rng(0).normal(size=(count, *shape))
    return list(values), [jnp.asarray(v, jnp.float32) for v in values]


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _close(got, want):
    assert_close(got, np.asarray(want, np.float32), "op")


@pytest.mark.parametrize("residual", [False, True])
def test_simple(residual):
    (x, h, s), inputs = _arrays(3, 2, 4)
    _close(recurrent.simple_step(*inputs, residual=residual), np.tanh(x + h + residual * s))


def test_lstm():
    (c, i, f, g, o), inputs = _arrays(5, 2, 4)
    new = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    got = recurrent.lstm_step(*inputs)
    _close(got[0], new)
    _close(got[1], _sigmoid(o) * np.tanh(new))


def test_packed_gates_are_split_in_order():
    (c, *_), (cell, *_) = _arrays(1, 2, 4)
    (x, h), packed = _arrays(2, 2, 16)
    i, f, g, o = np.split(x + h, 4, -1)
    new = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    _close(recurrent.optimized_lstm_step(cell, *packed)[0], new)
    i, g, f, o = np.split(x + h, 4, -1)
    new = _sigmoid(f + 1) * c + _sigmoid(i) * np.tanh(g)
    got = recurrent.conv_lstm_step(cell, *packed)
    _close(got[0], new)
    _close(got[1], _sigmoid(o) * np.tanh(new))


def test_gru():
    (h, xr, xz, xn, hr, hz, hn), (state, *rest) = _arrays(7, 2, 4)
    r, z = _sigmoid(xr + hr), _sigmoid(xz + hz)
    want = (1 - z) * np.tanh(xn + r * hn) + z * h
    _close(recurrent.gru_step(state, tuple(rest[:3]), tuple(rest[3:])), want)


@pytest.mark.parametrize("reset_gate", [True, False])
def test_mgu(reset_gate):
    (h, xf, xn, hf, hn), (state, *rest) = _arrays(5, 2, 4)
    f = _sigmoid(xf + hf)
    n = np.tanh(xn + (f * hn if reset_gate else hn))
    got = recurrent.mgu_step(state, tuple(rest[:2]), tuple(rest[2:]), reset_gate=reset_gate)
    _close(got, (1 - f) * n + f * h)


_flip = jax.jit(recurrent.flip_sequences, static_argnums=(2, 3))


def _flipped(x, lengths):
    """Flip each row of ``[batch, time, ...]`` within its length, and its padding within itself."""
    rows = [np.concatenate([r[:n][::-1], r[n:][::-1]]) for r, n in zip(x, lengths, strict=True)]
    return np.stack(rows)


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=2),
    st.booleans(),
    st.sampled_from([(), (2,)]),
)
@settings(max_examples=6, deadline=None)
def test_flipping_sequences(lengths, time_major, features):
    x = np.arange(len(lengths) * 4 * math.prod(features)).reshape(len(lengths), 4, *features)
    want = _flipped(x, lengths)
    if time_major:
        x, want = x.swapaxes(0, 1), want.swapaxes(0, 1)
    got = _flip(jnp.asarray(x), jnp.array(lengths), 1, time_major)
    assert_exact(got, want.astype(got.dtype))


def test_flipping_whole_sequences_and_several_batch_axes():
    x = jnp.arange(2 * 3 * 4).reshape(2, 3, 4)
    assert_exact(recurrent.flip_sequences(x, None, 2, time_major=False), x[..., ::-1])
    assert_exact(recurrent.flip_sequences(x, None, 2, time_major=True), x[::-1])
    lengths = jnp.array([[1, 2, 3], [4, 3, 2]])
    got = recurrent.flip_sequences(x, lengths, 2, time_major=False)
    want = _flipped(np.asarray(x).reshape(6, 4), np.asarray(lengths).ravel())
    assert_exact(got, want.reshape(2, 3, 4))
    empty = jnp.zeros((2, 0))
    assert recurrent.flip_sequences(empty, jnp.array([0, 0]), 1, time_major=False).shape == (2, 0)


def test_lengths_of_any_integer_type_and_one_for_all():
    x = jnp.arange(10).reshape(2, 5)
    for lengths in (jnp.array([4, 4], jnp.uint8), jnp.int32(4)):
        got = recurrent.flip_sequences(x, lengths, 1, time_major=False)
        assert_exact(got, _flipped(np.asarray(x), [4, 4]))


def test_last_states():
    history, first = jnp.arange(3 * 2 * 4.0).reshape(3, 2, 4), -jnp.ones((2, 4))
    got = recurrent.last_states(history, first, jnp.array([1, 3]), 1)
    assert_exact(got, np.stack([history[0, 0], history[2, 1]]))
    assert_exact(recurrent.last_states(history[:, 0], first[0], jnp.int32(2), 0), history[1, 0])


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int8, np.uint32])
def test_lengths_beyond_the_steps_are_full_and_none_is_the_beginning(kind):
    history, first = jnp.arange(3 * 4 * 2.0).reshape(3, 4, 2), -jnp.ones((4, 2))
    lengths = jnp.array([0, 2, 3, 100], kind)
    got = recurrent.last_states(history, first, lengths, 1)
    assert_exact(got, np.stack([first[0], history[1, 1], history[2, 2], history[2, 3]]))
    x = jnp.tile(jnp.array([1, 2, 3]), (4, 1))
    turned = recurrent.flip_sequences(x, lengths, 1, time_major=False)
    assert turned.tolist() == [[3, 2, 1], [2, 1, 3], [3, 2, 1], [3, 2, 1]]
    assert_exact(recurrent.last_states(history[:0], first, lengths, 1), first)


def test_a_carry_goes_on_in_its_own_floats():
    old = {"a": jnp.zeros(2, jnp.float32), "b": jnp.zeros(2, jnp.int32), "c": jnp.zeros(2)}
    new = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2, jnp.float32), "c": jnp.ones(2)}
    kept = recurrent.carried_on(new, old)
    assert [kept[k].dtype for k in "abc"] == [jnp.float32, jnp.float32, jnp.float32]
    assert kept["c"] is new["c"]
    assert recurrent.carried_on([old["a"]], old["a"])[0] is old["a"]
