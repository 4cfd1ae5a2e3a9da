"""Recurrent cells and layers, under the names of ``flax.nnx.nn.recurrent``."""

from ramie.nnx.layers.linear import Linear as Linear
from ramie.nnx.layers.recurrent.cell import RNNCellBase as RNNCellBase
from ramie.nnx.layers.recurrent.cell import modified_orthogonal as modified_orthogonal
from ramie.nnx.layers.recurrent.cells import GRUCell as GRUCell
from ramie.nnx.layers.recurrent.cells import LSTMCell as LSTMCell
from ramie.nnx.layers.recurrent.cells import OptimizedLSTMCell as OptimizedLSTMCell
from ramie.nnx.layers.recurrent.cells import SimpleCell as SimpleCell
from ramie.nnx.layers.recurrent.sequence import RNN as RNN
from ramie.nnx.layers.recurrent.sequence import Bidirectional as Bidirectional
from ramie.nnx.layers.recurrent.sequence import RNNBase as RNNBase
from ramie.nnx.modules.module import Module as Module
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
