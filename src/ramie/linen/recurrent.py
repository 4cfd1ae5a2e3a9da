"""Recurrent cells and layers, under the names of ``flax.linen.recurrent``."""

from typing import Any

from ramie.core.frozen import FrozenDict as FrozenDict
from ramie.linen import initializers as initializers
from ramie.linen import transforms as transforms
from ramie.linen.layers.cell import RNNCellBase as RNNCellBase
from ramie.linen.layers.conv import Conv as Conv
from ramie.linen.layers.linear import Dense as Dense
from ramie.linen.layers.linear import default_kernel_init as default_kernel_init
from ramie.linen.layers.recurrent import ConvLSTMCell as ConvLSTMCell
from ramie.linen.layers.recurrent import DenseParams as DenseParams
from ramie.linen.layers.recurrent import GRUCell as GRUCell
from ramie.linen.layers.recurrent import LSTMCell as LSTMCell
from ramie.linen.layers.recurrent import MGUCell as MGUCell
from ramie.linen.layers.recurrent import OptimizedLSTMCell as OptimizedLSTMCell
from ramie.linen.layers.recurrent import SimpleCell as SimpleCell
from ramie.linen.layers.sequence import RNN as RNN
from ramie.linen.layers.sequence import Bidirectional as Bidirectional
from ramie.linen.layers.sequence import RNNBase as RNNBase
from ramie.linen.methods import compact as compact
from ramie.linen.methods import nowrap as nowrap
from ramie.linen.module import Module as Module
from ramie.ops.dtypes import promote_dtype as promote_dtype
from ramie.ops.recurrent import flip_sequences as flip_sequences

__all__ = [
    "RNN",
    "Bidirectional",
    "Carry",
    "CarryHistory",
    "ConvLSTMCell",
    "GRUCell",
    "LSTMCell",
    "MGUCell",
    "OptimizedLSTMCell",
    "Output",
    "RNNBase",
    "RNNCellBase",
    "SimpleCell",
    "flip_sequences",
]

# Names of types that projects annotate with: what a cell carries, what it carried at each step,
# and what it returns.
Carry = Any
CarryHistory = Any
Output = Any
