"""Rotary position embedding against complex numbers, and what it is for: distances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie.ops.attention import rotary


def _turned(x, positions, theta=10000.0):
    """Each pair of features as one complex number, times ``exp(i angle)``."""
    half = x.shape[-1] // 2
    frequencies = theta ** (-np.arange(half) / half)
    turn = np.exp(1j * np.asarray(positions, np.float64)[..., None] * frequencies)
    y = (x[..., :half] + 1j * x[..., half:]) * turn
    return np.concatenate([y.real, y.imag], -1)


def _vectors(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("theta", [10000.0, 50.0])
@pytest.mark.parametrize("shape", [(5, 8), (2, 5, 8), (2, 3, 5, 2), (0, 4), (2, 0, 6)])
def test_pairs_of_features_are_turned(shape, theta):
    x = _vectors(*shape)
    got = rotary.rotary_embedding(jnp.asarray(x, jnp.float32), theta=theta)
    want = _turned(x, np.arange(shape[-2]), theta)
    assert_close(got, want.astype(np.float32), "op")


@pytest.mark.parametrize(
    "positions",
    [
        np.array([7, 0, 3, 3, -2]),
        np.array([[4, 1, 2, 0, 9]]),
        np.arange(10).reshape(2, 5),
        np.array([0.5, 1.25, 3.0, 0.0, 2.0], np.float32),
    ],
)
def test_positions_may_be_any_numbers_and_have_batch_axes(positions):
    x = _vectors(2, 5, 8)
    got = rotary.rotary_embedding(jnp.asarray(x, jnp.float32), jnp.asarray(positions))
    assert_close(got, _turned(x, positions).astype(np.float32), "op")


def test_products_depend_on_distances_alone():
    q, k = (jnp.asarray(x, jnp.float32) for x in _vectors(2, 1, 8))

    def product(i, j):
        return (rotary.rotary_embedding(q, [i]) * rotary.rotary_embedding(k, [j])).sum()

    assert_close(product(5, 2), product(11, 8), "model")
    assert abs(product(5, 2) - product(5, 3)) > 1e-2


def test_tables_give_the_bits_of_computing_them():
    x = jnp.asarray(_vectors(2, 5, 8), jnp.float32)
    tables = rotary.rotary_tables(jnp.arange(9), 8)
    assert [table.shape for table in tables] == [(9, 4), (9, 4)]
    assert_exact(rotary.rotary_embedding(x, tables=tables), rotary.rotary_embedding(x))
    later = rotary.rotary_embedding(x, jnp.arange(4, 9), tables=tables)
    assert_exact(later, rotary.rotary_embedding(x, jnp.arange(4, 9)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.int32])
def test_the_result_is_no_narrower_than_a_default_float(dtype):
    x = jnp.asarray(3 * _vectors(5, 8), dtype)
    got = rotary.rotary_embedding(x)
    assert_close(got, _turned(np.asarray(x, np.float64), np.arange(5)).astype(np.float32), "op")


def test_heads_are_turned_alike():
    x = jnp.asarray(_vectors(2, 5, 3, 8), jnp.float32)
    positions = jnp.arange(10).reshape(2, 5)
    for given in (None, positions[0], positions):
        got = rotary.turned_heads(rotary.rotary_embedding, x, given)
        for head in range(3):
            assert_exact(got[:, :, head], rotary.rotary_embedding(x[:, :, head], given))


def test_derivatives_are_turned_back():
    x, cotangent = (jnp.asarray(x, jnp.float32) for x in _vectors(2, 5, 8))
    _, back = jax.vjp(rotary.rotary_embedding, x)
    assert_close(back(cotangent)[0], rotary.rotary_embedding(cotangent, -jnp.arange(5)), "op")


def test_while_decoding_keys_lead_up_to_the_query():
    index = jnp.int32(2)
    query, keys = rotary.shifted_positions(index, 4, None)
    assert (query.tolist(), keys.tolist()) == ([2], [0, 1, 2, 3])
    query, keys = rotary.shifted_positions(index, 4, jnp.array([[7], [1]]))
    assert (query.tolist(), keys.tolist()) == ([[7], [1]], [[5, 6, 7, 8], [-1, 0, 1, 2]])


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((8,), {}, r"inputs \[..., length, size\]"),
        ((3, 7), {}, "positive and even.* Got 7"),
        ((3, 0), {}, "positive and even"),
        ((3, 8), {"positions": jnp.arange(4)}, "must have the same seq_len"),
        ((3, 8), {"positions": jnp.array(3)}, "must have the same seq_len"),
        ((3, 8), {"positions": jnp.zeros((2, 3))}, "does not broadcast"),
        ((2, 3, 8), {"positions": jnp.zeros((4, 3))}, "does not broadcast"),
        ((3, 8), {"tables": (jnp.zeros((2, 4)),) * 2}, "max_seq_len=2.* 3 positions"),
        ((3, 8), {"tables": (jnp.zeros((3, 3)),) * 2}, "embedding_size=6.* 8 features"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(shape, settings, message):
    with pytest.raises(ValueError, match=message):
        rotary.rotary_embedding(jnp.ones(shape), **settings)


@pytest.mark.parametrize(
    ("size", "length", "message"),
    [
        (8, None, "Either both `embedding_size` and `max_seq_len`"),
        (None, 8, "Either both `embedding_size` and `max_seq_len`"),
        (7, 8, "`embedding_size` must be positive and even"),
        (0, 8, "`embedding_size` must be positive and even"),
        (-2, 8, "`embedding_size` must be positive and even"),
    ],
)
def test_sizes_of_tables_are_checked(size, length, message):
    with pytest.raises(ValueError, match=message):
        rotary.check_table_sizes(size, length)
    rotary.check_table_sizes(None, None)
    rotary.check_table_sizes(8, 4)
