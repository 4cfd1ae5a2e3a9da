"""Recurrent layers in every order of time, in low precision, and their carries, against Flax's."""

import pytest

flax = pytest.importorskip("flax")

import flax.linen as peer_nn  # noqa: E402
import flax.linen.recurrent as peer_recurrent  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from tests.parity.families.test_layers import _equations  # noqa: E402
from tests.tolerance import assert_close, assert_exact  # noqa: E402

import ramie.linen as nn  # noqa: E402
from ramie.linen import recurrent  # noqa: E402

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 3)), jnp.float32)
CELLS = ["SimpleCell", "LSTMCell", "OptimizedLSTMCell", "GRUCell", "MGUCell"]


def _same(got, want, check=assert_exact):
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(want)
    for a, b in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(want), strict=True):
        check(a, b)


@pytest.mark.parametrize("name", CELLS)
def test_carries(name):
    for shape in [(2, 3), (3,), (2, 5, 3)]:
        _same(
            *(
                getattr(m, name)(4, carry_init=m.initializers.normal(1.0)).initialize_carry(
                    KEY, shape
                )
                for m in (nn, peer_nn)
            )
        )


@pytest.mark.parametrize("name", CELLS)
def test_low_precision(name):
    x = X[:, 0]
    low = jnp.bfloat16
    carry = getattr(nn, name)(4).initialize_carry(KEY, x.shape)
    variables = getattr(nn, name)(4).init(KEY, carry, x)
    for dtype, of_input, of_carry in [
        (low, jnp.float32, jnp.float32),
        (None, low, jnp.float32),
    ]:
        state = jax.tree_util.tree_map(lambda c, d=of_carry: (c + 0.3).astype(d), carry)
        got, want = (
            getattr(m, name)(4, dtype=dtype).apply(variables, state, x.astype(of_input))
            for m in (nn, peer_nn)
        )
        _same(got, want)


@pytest.mark.parametrize(
    ("reverse", "keep_order", "lengths"),
    [
        (False, False, True),
        (True, False, False),
        (True, False, True),
        (True, True, False),
        (True, True, True),
    ],
)
def test_orders_of_time(reverse, keep_order, lengths):
    options = {
        "reverse": reverse,
        "keep_order": keep_order,
        "seq_lengths": jnp.array([3, 1]) if lengths else None,
        "time_major": keep_order,
    }
    x = X.swapaxes(0, 1) if keep_order else X
    results, counts = [], []
    for library in (nn, peer_nn):
        rnn = library.RNN(library.SimpleCell(4), return_carry=True)
        variables = rnn.init(KEY, X)
        results.append(rnn.apply(variables, x, **options))
        trace = jax.make_jaxpr(lambda v, x, rnn=rnn: rnn.apply(v, x, **options))(variables, x)
        counts.append(_equations(trace.jaxpr))
    _same(*results, check=assert_exact)
    assert counts[0] <= counts[1]


def test_bidirectional():
    carry = jnp.full((2, 4), 0.2), jnp.full((2, 4), -0.2)
    results = []
    for library in (nn, peer_nn):
        cell = library.SimpleCell(4)
        layer = library.Bidirectional(library.RNN(cell), library.RNN(cell), return_carry=True)
        variables = layer.init(KEY, X)
        results.append(
            (
                variables,
                layer.apply(variables, X, seq_lengths=jnp.array([3, 1]), initial_carry=carry),
                layer.apply(variables, X, init_key=jax.random.key(3)),
            )
        )
    _same(*results)


def test_flipping():
    x = jnp.arange(24).reshape(2, 4, 3)
    for lengths in (None, jnp.array([4, 2]), jnp.array([0, 1])):
        args = (x, lengths, 1, False)
        _same(recurrent.flip_sequences(*args), peer_recurrent.flip_sequences(*args))


def test_gradients_through_time():
    results = []
    for library in (nn, peer_nn):
        rnn = library.RNN(library.SimpleCell(4), reverse=True, keep_order=True)
        variables = rnn.init(KEY, X)
        gradient = jax.grad(lambda v, rnn=rnn: jnp.sum(rnn.apply(v, X) ** 2))
        results.append(jax.jit(gradient)(variables))
    _same(*results, check=lambda got, want: assert_close(got, want, "model"))


def test_captured_intermediates_have_the_same_names():
    names = []
    for library in (nn, peer_nn):
        cell = library.OptimizedLSTMCell(4)
        carry = cell.initialize_carry(KEY, (2, 3))

        def captured(cell=cell, carry=carry):
            variables = cell.init(KEY, carry, X[:, 0])
            return cell.apply(variables, carry, X[:, 0], capture_intermediates=True)[1]

        names.append(jax.tree_util.tree_structure(jax.eval_shape(captured)))
    assert names[0] == names[1]
