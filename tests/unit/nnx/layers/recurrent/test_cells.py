"""Cells and sequences: carries, order, lengths, state that goes on, and random streams."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import errors, nnx

X = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)


class Sum(nnx.RNNCellBase):
    """Adds up its inputs, counts its steps, and draws a number at each."""

    num_feature_axes = 1

    def __init__(self, rngs):
        self.steps = nnx.Variable(jnp.array(0))
        self.noise = rngs.noise.fork()

    def __call__(self, carry, inputs):
        self.steps[...] += 1
        total = carry + inputs
        return total, (total, jax.random.bits(self.noise(), inputs.shape[:1], jnp.uint32))

    def initialize_carry(self, input_shape, rngs=None, carry_init=None):
        return jnp.zeros(input_shape)


def test_order_lengths_and_carry():
    rnn = nnx.RNN(Sum(nnx.Rngs(noise=0)), return_carry=True, rngs=False)
    lengths = np.array([4, 2])
    carry, (sums, _) = rnn(X, seq_lengths=lengths)
    assert_close(sums, np.cumsum(X, axis=1))
    assert_exact(carry, np.stack([sums[0, 3], sums[1, 1]]))
    carry, (back, _) = rnn(X, seq_lengths=lengths, reverse=True, keep_order=True)
    assert_close(back[0], np.cumsum(X[0, ::-1], axis=0)[::-1])
    assert_close(back[1, :2], np.cumsum(X[1, 1::-1], axis=0)[::-1])
    assert_close(carry, np.stack([X[0].sum(0), X[1, :2].sum(0)]))
    _, (turned, _) = rnn(np.swapaxes(X, 0, 1), time_major=True)
    assert_exact(turned, jnp.swapaxes(sums, 0, 1))


def test_state_goes_on_and_streams_are_carried_or_shared():
    cell = Sum(nnx.Rngs(noise=0))
    _, drawn = nnx.RNN(cell)(X)
    assert (int(cell.steps[...]), int(cell.noise.count[...])) == (4, 4)
    assert len(np.unique(drawn[0])) == 4
    key = cell.noise.key[...]
    _, drawn = nnx.RNN(cell, broadcast_rngs="noise")(X)
    assert (int(cell.steps[...]), int(cell.noise.count[...])) == (8, 5)
    assert len(np.unique(drawn[0])) == 1
    assert_exact(jax.random.key_data(cell.noise.key[...]), jax.random.key_data(key))


def test_state_may_be_the_same_for_all_steps():
    cell = Sum(nnx.Rngs(noise=0))
    nnx.RNN(cell, state_axes={nnx.RngState: nnx.Carry, ...: None})(X)
    assert (int(cell.steps[...]), int(cell.noise.count[...])) == (0, 4)


def test_two_directions_draw_their_carries_in_turn():
    draws = nnx.initializers.normal()
    rnns = [nnx.RNN(nnx.GRUCell(3, 4, carry_init=draws, rngs=nnx.Rngs(0))) for _ in range(2)]
    layer = nnx.Bidirectional(*rnns, merge_fn=jnp.subtract, return_carry=True)
    stream = nnx.RngStream(0, tag="carry")
    first, second = (draws(stream(), (2, 4)) for _ in range(2))
    carries, merged = layer(X)
    forward_carry, forward = rnns[0](X, initial_carry=first, return_carry=True)
    backward = rnns[1](X, initial_carry=second, reverse=True, keep_order=True)
    assert_exact(carries[0], forward_carry)
    assert_exact(merged, forward - backward)
    assert int(layer.rngs.count[...]) == 2
    again, _ = layer(X, initial_carry=(first, second))
    assert_exact(again[0], forward_carry)
    with pytest.raises(ValueError, match="is a pair of the carries"):
        layer(X, initial_carry=3)


def test_carries_need_random_numbers():
    cell = nnx.LSTMCell(3, 4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="RNGs must be provided"):
        cell.initialize_carry((2, 3))
    with pytest.raises(ValueError, match="RNGs must be provided"):
        nnx.RNN(cell, rngs=False)(X)
    with pytest.raises(ValueError, match="Expected rngs to be"):
        nnx.RNN(cell, rngs=3)
    memory, state = cell.initialize_carry((2, 3), nnx.Rngs(0), nnx.initializers.ones)
    assert memory.shape == state.shape == (2, 4)
    with pytest.warns(UserWarning, match="keep_rngs of GRUCell is deprecated"):
        kept = nnx.GRUCell(3, 4, keep_rngs=True, rngs=nnx.Rngs(0))
    assert kept.initialize_carry((2, 3)).shape == (2, 4)
    assert int(kept.rngs.count[...]) == 1


def test_inputs_are_checked():
    rnn = nnx.RNN(Sum(nnx.Rngs(noise=0)))
    with pytest.raises(ValueError, match="need an axis of time"):
        rnn(X[0, 0])
    with pytest.raises(ValueError, match="one length for each"):
        rnn(X, seq_lengths=np.array([1, 2, 3]))
    with pytest.raises(ValueError, match="holds integers"):
        rnn(X, seq_lengths=np.array([1.0, 2.0]))


def test_cells_define_what_they_are():
    cell = nnx.RNNCellBase()
    for ask in (
        lambda: cell(1, 2),
        lambda: cell.initialize_carry((1,)),
        lambda: cell.num_feature_axes,
    ):
        with pytest.raises(NotImplementedError, match="RNNCellBase"):
            ask()


def test_orthogonal_kernels_in_half_precision_are_rounded():
    cell = nnx.SimpleCell(3, 4, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    wide = nnx.SimpleCell(3, 4, rngs=nnx.Rngs(0))
    assert_exact(cell.dense_h.kernel[...], wide.dense_h.kernel[...].astype(jnp.bfloat16))


CELLS = [nnx.SimpleCell, nnx.GRUCell, nnx.LSTMCell, nnx.OptimizedLSTMCell]


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"reverse": True, "keep_order": True}])
@pytest.mark.parametrize("given", [False, True])
def test_lengths_of_zero_and_beyond_the_steps(options, given):
    rnn = nnx.RNN(nnx.GRUCell(3, 2, rngs=nnx.Rngs(0)), return_carry=True)
    first = jnp.array([[1.0, 2.0], [3.0, 4.0]]) if given else jnp.zeros((2, 2))
    carry, y = rnn(X, initial_carry=first, seq_lengths=jnp.array([0, 99]), **options)
    whole, want = rnn(X, initial_carry=first, **options)
    assert_exact(carry[0], first[0])
    assert_close(carry[1], whole[1])
    assert_close(y[1], want[1])
    both = nnx.Bidirectional(rnn, rnn, return_carry=True)
    carries, _ = both(X, initial_carry=(first, first), seq_lengths=jnp.array([0, 4]))
    assert_exact(carries[0][0], first[0])
    assert_exact(carries[1][0], first[0])


@pytest.mark.parametrize("dtypes", ["bbb", "bbf", "bfb", "bff", "fbb", "fbf", "nbb", "nbf", "nfb"])
@pytest.mark.parametrize("cell", CELLS)
def test_cells_of_sixteen_bits_run_over_sequences(cell, dtypes):
    kinds = {"b": jnp.bfloat16, "f": jnp.float32, "n": None}
    dtype, params, inputs = (kinds[letter] for letter in dtypes)
    made = cell(3, 4, dtype=dtype, param_dtype=params, rngs=nnx.Rngs(0))
    carry, y = nnx.RNN(made, return_carry=True)(jnp.asarray(X, inputs))
    assert {leaf.dtype for leaf in jax.tree.leaves(carry)} == {jnp.dtype(params)}
    wide = cell(3, 4, rngs=nnx.Rngs(0))
    nnx.update(wide, jax.tree.map(lambda p: p.astype(jnp.float32), nnx.state(made)))
    want = nnx.RNN(wide)(jnp.asarray(X, inputs).astype(jnp.float32))
    assert_close(y.astype(jnp.bfloat16), want.astype(jnp.bfloat16), "model")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("both", [False, True])
def test_a_carry_of_zeros_draws_no_key(cell, both):
    model = nnx.RNN(cell(3, 4, rngs=nnx.Rngs(0)))
    if both:
        model = nnx.Bidirectional(model, nnx.RNN(cell(3, 4, rngs=nnx.Rngs(1))))
    want = model(X)
    assert_close(jax.jit(lambda x: model(x))(X), want, "model")
    assert_close(jax.vmap(lambda x: model(x))(X), want, "model")
    assert jax.eval_shape(lambda x: model(x), X).shape == want.shape
    before = jax.tree.leaves(nnx.state(model, nnx.RngCount))
    jax.grad(lambda x: model(x).sum())(jnp.asarray(X))
    for old, new in zip(before, jax.tree.leaves(nnx.state(model, nnx.RngCount)), strict=True):
        assert_exact(new, old)


def test_a_random_carry_needs_a_stream_that_the_transformation_was_given():
    cell = nnx.GRUCell(3, 4, carry_init=nnx.initializers.normal(), rngs=nnx.Rngs(0))
    model = nnx.RNN(cell)
    assert bool(jnp.any(model(X) != model(X)))
    with pytest.raises(errors.TraceContextError):
        jax.jit(lambda x: model(x))(X)
    drawn = nnx.jit(lambda model, x: model(x))(model, X)
    assert drawn.shape == (2, 4, 4)
