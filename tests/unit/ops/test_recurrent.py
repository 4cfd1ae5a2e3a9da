"""Recurrent steps against the equations in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close

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
