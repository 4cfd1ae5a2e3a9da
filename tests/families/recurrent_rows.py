"""Rows for recurrent cells and the layers that run them.

The shapes agree, so that rows share compiled programs. The cells in their default configuration
are compared with Flax in tests/parity/linen/test_recurrent.py.
"""

import jax.numpy as jnp
import numpy as np
from tests.families.row import Row, floats, pair

STATE, MEMORY, INPUT = floats(2, 4), pair(2, 4), floats(2, 3)

# No row has dtypes: the results of cells have the dtype of their carry.
ROWS = (
    Row(
        "simple_cell",
        lambda nn, **k: nn.SimpleCell(
            4, residual=True, activation_fn=jnp.sin, bias_init=nn.initializers.normal(), **k
        ),
        (STATE, INPUT),
        dtypes=False,
    ),
    Row("lstm_cell", lambda nn, **k: nn.LSTMCell(4, **k), (MEMORY, INPUT), dtypes=False),
    Row(
        "optimized_lstm_cell",
        lambda nn, **k: nn.OptimizedLSTMCell(
            4,
            gate_fn=nn.hard_sigmoid,
            activation_fn=jnp.sin,
            kernel_init=nn.initializers.normal(0.5),
            recurrent_kernel_init=nn.initializers.uniform(),
            bias_init=nn.initializers.normal(),
            **k,
        ),
        (MEMORY, INPUT),
        dtypes=False,
    ),
    Row("gru_cell", lambda nn, **k: nn.GRUCell(4, **k), (STATE, INPUT), dtypes=False),
    Row(
        "mgu_cell",
        lambda nn, **k: nn.MGUCell(
            4,
            reset_gate=False,
            forget_bias_init=nn.initializers.normal(),
            activation_bias_init=nn.initializers.ones,
            **k,
        ),
        (STATE, INPUT),
        dtypes=False,
    ),
    Row(
        "conv_lstm_cell",
        lambda nn, **k: nn.ConvLSTMCell(2, kernel_size=(3,), **k),
        (pair(2, 5, 2), floats(2, 5, 3)),
        dtypes=False,
    ),
    Row(
        "bidirectional",
        lambda nn, **k: nn.Bidirectional(nn.RNN(nn.GRUCell(4)), nn.RNN(nn.SimpleCell(4)), **k),
        (floats(2, 5, 3),),
        kwargs={"seq_lengths": np.array([5, 2])},
        dtypes=False,
        loops=True,
    ),
)
