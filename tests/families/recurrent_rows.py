"""Rows for recurrent cells and the layers that run them."""

import jax.numpy as jnp
import numpy as np
from tests.families.row import Row, floats, pair


def _cell(name, cell, carry, x, **fields):
    """A row for a cell, whose result has the dtype of its carry and not the field's."""
    return Row(
        name,
        lambda nn, **k: getattr(nn, cell)(**fields, **k),
        (carry, x),
        dtypes=False,
    )


def _initializers(nn):
    return {
        "kernel_init": nn.initializers.normal(0.5),
        "recurrent_kernel_init": nn.initializers.uniform(),
    }


ROWS = (
    _cell("simple_cell", "SimpleCell", floats(2, 4), floats(2, 3), features=4),
    Row(
        "simple_cell_residual",
        lambda nn, **k: nn.SimpleCell(
            4, residual=True, activation_fn=jnp.sin, bias_init=nn.initializers.normal(), **k
        ),
        (floats(5, 2, 4), floats(5, 2, 3)),
        dtypes=False,
    ),
    _cell("lstm_cell", "LSTMCell", pair(2, 4), floats(2, 3), features=4),
    _cell("optimized_lstm_cell", "OptimizedLSTMCell", pair(2, 4), floats(2, 3), features=4),
    Row(
        "optimized_lstm_cell_options",
        lambda nn, **k: nn.OptimizedLSTMCell(
            4,
            gate_fn=nn.hard_sigmoid,
            activation_fn=jnp.sin,
            bias_init=nn.initializers.normal(),
            **_initializers(nn),
            **k,
        ),
        (pair(4), floats(3)),
        dtypes=False,
    ),
    _cell("gru_cell", "GRUCell", floats(2, 4), floats(2, 3), features=4),
    _cell("mgu_cell", "MGUCell", floats(2, 4), floats(2, 3), features=4),
    Row(
        "mgu_cell_without_reset",
        lambda nn, **k: nn.MGUCell(
            4,
            reset_gate=False,
            forget_bias_init=nn.initializers.normal(),
            activation_bias_init=nn.initializers.ones,
            **_initializers(nn),
            **k,
        ),
        (floats(2, 4), floats(2, 3)),
        dtypes=False,
    ),
    _cell(
        "conv_lstm_cell",
        "ConvLSTMCell",
        pair(2, 5, 4, 2),
        floats(2, 5, 4, 3),
        features=2,
        kernel_size=(3, 2),
    ),
    Row(
        "rnn_lstm",
        lambda nn, **k: nn.RNN(nn.LSTMCell(4), return_carry=True, **k),
        (floats(2, 5, 3),),
        dtypes=False,
        loops=True,
    ),
    Row(
        "rnn_reversed_time_major",
        lambda nn, **k: nn.RNN(nn.GRUCell(4), time_major=True, reverse=True, unroll=2, **k),
        (floats(5, 2, 3),),
        dtypes=False,
        loops=True,
    ),
    Row(
        "bidirectional",
        lambda nn, **k: nn.Bidirectional(
            nn.RNN(nn.OptimizedLSTMCell(4)), nn.RNN(nn.SimpleCell(3)), **k
        ),
        (floats(2, 5, 3),),
        kwargs={"seq_lengths": np.array([5, 2])},
        dtypes=False,
        loops=True,
    ),
)
