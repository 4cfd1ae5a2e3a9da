"""Recurrent cells and layers, under the names of ``flax.nnx.nn.recurrent``."""

from ramie.nnx.layers.cell import RNNCellBase as RNNCellBase
from ramie.nnx.layers.cell import modified_orthogonal as modified_orthogonal
from ramie.nnx.layers.linear import Linear as Linear
from ramie.nnx.layers.recurrent import GRUCell as GRUCell
from ramie.nnx.layers.recurrent import LSTMCell as LSTMCell
from ramie.nnx.layers.recurrent import OptimizedLSTMCell as OptimizedLSTMCell
from ramie.nnx.layers.recurrent import SimpleCell as SimpleCell
from ramie.nnx.layers.sequence import RNN as RNN
from ramie.nnx.layers.sequence import Bidirectional as Bidirectional
from ramie.nnx.layers.sequence import RNNBase as RNNBase
from ramie.nnx.module import Module as Module
from ramie.ops.activations import sigmoid as sigmoid
from ramie.ops.activations import tanh as tanh
from ramie.ops.recurrent import flip_sequences as flip_sequences

__all__ = [
    "RNN",
    "Bidirectional",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "Module",
    "OptimizedLSTMCell",
    "RNNBase",
    "RNNCellBase",
    "SimpleCell",
    "flip_sequences",
    "modified_orthogonal",
    "sigmoid",
    "tanh",
]
