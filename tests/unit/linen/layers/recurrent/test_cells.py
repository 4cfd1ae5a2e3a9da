"""Cells and the layers that run them: against loops in Python, options, old spellings, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie import errors

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 3)), jnp.float32)
PAIRS = (nn.LSTMCell, nn.OptimizedLSTMCell)
SINGLES = (nn.SimpleCell, nn.GRUCell, nn.MGUCell)


class Sum(nn.RNNCellBase):
    """The sum of everything so far, whatever the shape."""

    def __call__(self, carry, inputs):
        return carry + inputs, carry + inputs

    def initialize_carry(self, rng, input_shape):
        return jnp.zeros(input_shape)

    @property
    def num_feature_axes(self):
        return 1


def _loop(cell, variables, x, lengths):
    """Run a cell step by step over ``[batch, time, in]``; the last carries are those at lengths."""
    carry = cell.initialize_carry(KEY, x[:, 0].shape)
    outputs, carries = [], []
    for step in range(x.shape[1]):
        carry, y = cell.apply(variables, carry, x[:, step])
        outputs.append(y)
        carries.append(carry)
    last = [
        jax.tree_util.tree_map(lambda c, i=i: c[i], carries[n - 1]) for i, n in enumerate(lengths)
    ]
    return jax.tree_util.tree_map(lambda *c: jnp.stack(c), *last), jnp.stack(outputs, 1)


def test_a_sequence_is_a_loop_of_steps():
    lengths = [4, 2]
    cell = nn.OptimizedLSTMCell(5)
    rnn = nn.RNN(cell, return_carry=True)
    variables = rnn.init(KEY, X)
    carry, y = rnn.apply(variables, X, seq_lengths=lengths)
    cell_variables = {"params": variables["params"]["cell"]}
    want_carry, want = _loop(cell, cell_variables, X, lengths)
    assert_close(y, want, "model")
    jax.tree_util.tree_map(lambda a, b: assert_close(a, b, "model"), carry, want_carry)


def test_both_lstm_cells_read_the_same_parameters():
    plain, packed = (nn.RNN(cell(5)) for cell in PAIRS)
    variables = plain.init(KEY, X)
    assert_close(packed.apply(variables, X), plain.apply(variables, X), "model")


def test_order_of_time():
    rnn = nn.RNN(Sum())
    x = jnp.array([[1.0, 2.0, 4.0]])[..., None]
    lengths = jnp.array([2])

    def run(**options):
        return rnn.apply({}, x, **options)[0, :, 0].tolist()

    assert run() == [1.0, 3.0, 7.0]
    assert run(reverse=True) == [4.0, 6.0, 7.0]
    assert run(reverse=True, keep_order=True) == [7.0, 6.0, 4.0]
    assert run(keep_order=True) == [1.0, 3.0, 7.0]
    assert run(reverse=True, seq_lengths=lengths) == [2.0, 3.0, 7.0]
    assert run(reverse=True, keep_order=True, seq_lengths=lengths) == [3.0, 2.0, 7.0]
    carry, _ = rnn.apply({}, x, reverse=True, seq_lengths=lengths, return_carry=True)
    assert float(carry[0, 0]) == 3.0
    assert_exact(rnn.apply({}, x.swapaxes(0, 1), time_major=True), rnn.apply({}, x).swapaxes(0, 1))
    assert_exact(nn.RNN(Sum(), unroll=2).apply({}, x), rnn.apply({}, x))


def test_attributes_are_defaults_of_the_call():
    x = jnp.array([[1.0, 2.0, 4.0]])[..., None]
    rnn = nn.RNN(Sum(), reverse=True, keep_order=True, return_carry=True, time_major=True)
    options = {"reverse": False, "return_carry": False, "time_major": False}
    assert_exact(rnn.apply({}, x, **options), nn.RNN(Sum()).apply({}, x))


def test_where_the_carry_comes_from():
    class Noise(Sum):
        def initialize_carry(self, rng, input_shape):
            return jax.random.normal(rng, input_shape)

    x = jnp.zeros((2, 1, 3))

    def first(**options):
        return nn.RNN(Noise()).apply({}, x, **options)[:, 0]

    assert_exact(first(), jax.random.normal(jax.random.key(0), (2, 3)))
    assert_exact(first(init_key=jax.random.key(5)), jax.random.normal(jax.random.key(5), (2, 3)))
    assert_exact(first(initial_carry=jnp.ones((2, 3))), jnp.ones((2, 3)))
    both = nn.Bidirectional(nn.RNN(Noise()), nn.RNN(Noise()), merge_fn=jnp.subtract)
    keys = jax.random.split(jax.random.key(5))
    want = jax.random.normal(keys[0], (2, 3)) - jax.random.normal(keys[1], (2, 3))
    assert_close(both.apply({}, x, init_key=jax.random.key(5))[:, 0], want)


def test_several_batch_axes_and_none():
    rnn = nn.RNN(Sum(), return_carry=True)
    lengths = jnp.array([3, 1])
    carry, y = rnn.apply({}, X, seq_lengths=lengths)
    wide = rnn.apply({}, X[None], seq_lengths=lengths[None])
    assert_exact(wide[0][0], carry)
    assert_exact(wide[1][0], y)
    one = rnn.apply({}, X[0], seq_lengths=lengths[0])
    assert_exact(one[0], carry[0])
    assert_exact(one[1], y[0])


def test_variables_and_random_streams_per_step():
    class Noisy(Sum):
        @nn.compact
        def __call__(self, carry, inputs):
            self.sow("intermediates", "seen", inputs)
            noise = jax.random.normal(self.make_rng("noise"), inputs.shape)
            return carry, noise

    x = jnp.arange(3.0)[:, None]
    rnn = nn.RNN(Noisy(), variable_axes={"intermediates": 0}, split_rngs={"noise": True})

    def run(**options):
        noise, state = rnn.apply({}, x, rngs={"noise": KEY}, mutable=["intermediates"], **options)
        return noise[:, 0], state["intermediates"]["cell"]["seen"][0][:, 0]

    noise, seen = run()
    assert len(set(noise.tolist())) == 3
    assert seen.tolist() == [0.0, 1.0, 2.0]
    # Step k draws the k-th numbers and has the k-th slice, also when it is the last in time.
    backwards, seen = run(reverse=True)
    assert_exact(backwards, noise)
    assert seen.tolist() == [2.0, 1.0, 0.0]
    assert_exact(run(reverse=True, keep_order=True)[0], noise[::-1])


def test_bidirectional():
    layer = nn.Bidirectional(nn.RNN(Sum()), nn.RNN(Sum()), return_carry=True)
    x = jnp.array([[1.0, 2.0, 4.0]])[..., None]
    (forward, backward), y = layer.apply({}, x, seq_lengths=jnp.array([2]))
    assert y[0].tolist() == [[1.0, 3.0], [3.0, 2.0], [7.0, 7.0]]
    assert (float(forward[0, 0]), float(backward[0, 0])) == (3.0, 3.0)
    carries = (jnp.ones((1, 1)), jnp.zeros((1, 1)))
    y = layer.apply({}, x, initial_carry=carries, return_carry=False)
    assert y[0].tolist() == [[2.0, 7.0], [4.0, 6.0], [8.0, 4.0]]
    with pytest.raises(ValueError, match="pair of the carries"):
        layer.apply({}, x, initial_carry=0.0)


def test_directions_may_share_a_cell():
    cell = nn.GRUCell(5)
    layer = nn.Bidirectional(nn.RNN(cell), nn.RNN(cell))
    variables = jax.eval_shape(layer.init, KEY, X)
    assert list(variables["params"]) == ["forward_rnn"]


@pytest.mark.parametrize("cell", [*PAIRS, *SINGLES])
def test_carries(cell):
    module = cell(5, carry_init=nn.initializers.normal(1.0), param_dtype=jnp.bfloat16)
    carry = module.initialize_carry(KEY, (2, 3))
    leaves = jax.tree_util.tree_leaves(carry)
    assert [(c.shape, c.dtype) for c in leaves] == [((2, 5), jnp.bfloat16)] * len(leaves)
    assert len({c.tobytes() for c in map(np.asarray, leaves)}) == len(leaves) == 1 + (cell in PAIRS)
    assert module.num_feature_axes == 1
    # The spelling of earlier releases, on the class and on a cell.
    want = jax.tree_util.tree_map(np.zeros_like, cell(5).initialize_carry(KEY, (2, 3)))
    for old in (
        cell.initialize_carry(KEY, (2,), 5),
        cell.initialize_carry(KEY, (2,), size=5),
        cell().initialize_carry(KEY, (2,), 5),
    ):
        jax.tree_util.tree_map(assert_exact, old, want)
    ones = cell.initialize_carry(KEY, (2,), 5, nn.initializers.ones)
    assert all(np.all(c == 1) for c in jax.tree_util.tree_leaves(ones))
    with pytest.raises(ValueError, match="without features"):
        cell().initialize_carry(KEY, (2, 3))
    with pytest.raises(ValueError, match="shape of an input"):
        cell(5).initialize_carry(KEY, ())
    with pytest.raises(ValueError, match="size is missing"):
        cell.initialize_carry(KEY, (2,))


def test_earlier_spellings_of_rnn():
    want, variables = nn.RNN(nn.LSTMCell(5)).init_with_output(KEY, X)
    for rnn in (nn.RNN(nn.LSTMCell(), cell_size=5), nn.RNN(nn.LSTMCell(), 5)):
        assert rnn.cell_size == 5
        assert rnn.time_major is False
        assert_exact(rnn.apply(variables, X), want)
    conv = nn.RNN(nn.ConvLSTMCell(2, kernel_size=(3,)), cell_size=(4, 2))
    out = jax.eval_shape(lambda: conv.init_with_output(KEY, jnp.ones((2, 3, 4, 1)))[0])
    assert out.shape == (2, 3, 4, 2)


def test_features_follow_the_carry():
    Scanned = nn.scan(
        nn.LSTMCell,
        variable_broadcast="params",
        split_rngs={"params": False},
        in_axes=1,
        out_axes=1,
    )
    carry = nn.LSTMCell.initialize_carry(KEY, (2,), 6)
    (_, y), _ = jax.eval_shape(lambda: Scanned().init_with_output(KEY, carry, X))
    assert y.shape == (2, 4, 6)


def test_convolutional_cell():
    cell = nn.ConvLSTMCell(2, (3, 3), strides=(2, 2), use_bias=False)
    assert cell.num_feature_axes == 3
    x = jnp.ones((1, 4, 4, 3))
    memory, state = jnp.zeros((1, 2, 2, 2)), jnp.zeros((1, 4, 4, 2))
    (_, y), variables = jax.eval_shape(lambda: cell.init_with_output(KEY, (memory, state), x))
    assert y.shape == (1, 2, 2, 2)
    assert {k: list(v) for k, v in variables["params"].items()} == {
        "ih": ["kernel"],
        "hh": ["kernel"],
    }
    with pytest.raises(ValueError, match="have 2 channels"):
        cell.init(KEY, (jnp.zeros((1, 4, 4, 5)), jnp.zeros((1, 4, 4, 5))), x)


@pytest.mark.parametrize("cell", [*PAIRS, *SINGLES])
def test_wrong_carries(cell):
    module = cell(5)
    x = X[:, 0]
    carry = module.initialize_carry(KEY, x.shape)
    variables = jax.eval_shape(module.init, KEY, carry, x)

    def run(carry, x=x):
        return jax.eval_shape(module.apply, variables, carry, x)

    wrong_batch = module.initialize_carry(KEY, (3, 3))
    with pytest.raises(ValueError, match=rf"{cell.__name__} at /: a carry of shape \(3, 5\)"):
        run(wrong_batch)
    with pytest.raises(ValueError, match="the carry is"):
        run(None)
    with pytest.raises(errors.ScopeParamShapeError):
        run(module.clone(features=6).initialize_carry(KEY, x.shape))
    with pytest.raises(errors.ScopeParamShapeError):
        run(carry, jnp.ones((2, 4)))


def test_wrong_sequences():
    rnn = nn.RNN(nn.SimpleCell(5))
    variables = jax.eval_shape(rnn.init, KEY, X)
    with pytest.raises(ValueError, match=r"need an axis of time and 1 of features for SimpleCell"):
        jax.eval_shape(rnn.apply, variables, jnp.ones(3))
    for lengths, message in [
        ([1, 2, 3], r"shape \(3,\), but the batch has \(2,\)"),
        ([[1], [2]], r"shape \(2, 1\)"),
        ([1.0, 2.0], "integers, not float32"),
    ]:
        with pytest.raises(ValueError, match=message):
            rnn.apply(variables, X, seq_lengths=jnp.array(lengths))
    with pytest.raises(NotImplementedError, match="initialize_carry"):
        nn.RNNCellBase().initialize_carry(KEY, (2, 3))
    with pytest.raises(NotImplementedError, match="num_feature_axes"):
        nn.RNN(nn.RNNCellBase()).apply({}, X)


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"reverse": True, "keep_order": True}])
@pytest.mark.parametrize("time_major", [False, True])
def test_lengths_of_zero_and_beyond_the_steps(options, time_major):
    rnn = nn.RNN(nn.GRUCell(2), return_carry=True, time_major=time_major)
    x = X.swapaxes(0, 1) if time_major else X
    variables = rnn.init(KEY, x)
    first = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    lengths = jnp.array([0, 99])
    carry, _ = rnn.apply(variables, x, initial_carry=first, seq_lengths=lengths, **options)
    whole, _ = rnn.apply(variables, x, initial_carry=first, **options)
    assert_exact(carry[0], first[0])
    assert_close(carry[1], whole[1])
    both = nn.Bidirectional(rnn, nn.RNN(nn.GRUCell(2)), time_major=time_major)
    variables = both.init(KEY, x)
    run = jax.grad(lambda v: both.apply(v, x, seq_lengths=lengths).sum())
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(run(variables)))


@pytest.mark.parametrize("dtypes", ["bbb", "bbf", "bfb", "bff", "fbb", "fbf", "nbb", "nbf", "nfb"])
@pytest.mark.parametrize("cell", (*PAIRS, *SINGLES))
def test_cells_of_sixteen_bits_run_over_sequences(cell, dtypes):
    kinds = {"b": jnp.bfloat16, "f": jnp.float32, "n": None}
    dtype, params, inputs = (kinds[letter] for letter in dtypes)
    rnn = nn.RNN(cell(4, dtype=dtype, param_dtype=params), return_carry=True)
    (carry, y), variables = rnn.init_with_output(KEY, X.astype(inputs))
    assert {leaf.dtype for leaf in jax.tree.leaves(carry)} == {jnp.dtype(params)}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(params)}
    wide = jax.tree.map(lambda p: p.astype(jnp.float32), variables)
    want = nn.RNN(cell(4)).apply(wide, X.astype(inputs).astype(jnp.float32))
    assert_close(y.astype(jnp.bfloat16), want.astype(jnp.bfloat16), "model")


def test_convolutional_cells_of_sixteen_bits_run_over_sequences():
    x = jnp.ones((1, 3, 4, 4, 2))
    rnn = nn.RNN(nn.ConvLSTMCell(2, kernel_size=(3, 3), param_dtype=jnp.bfloat16))
    y, _ = rnn.init_with_output(KEY, x)
    assert y.shape == (1, 3, 4, 4, 2) and y.dtype == jnp.float32
