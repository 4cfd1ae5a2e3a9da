"""Recurrent cells and layers, under the names of ``flax.linen.recurrent``."""

from typing import Any

from ramie.compat.paths.linen import initializers as initializers
from ramie.linen.layers.conv import Conv as Conv
from ramie.linen.layers.linear import Dense as Dense
from ramie.linen.layers.linear import default_kernel_init as default_kernel_init
from ramie.linen.layers.recurrent.cell import RNNCellBase as RNNCellBase
from ramie.linen.layers.recurrent.cells import ConvLSTMCell as ConvLSTMCell
from ramie.linen.layers.recurrent.cells import DenseParams as DenseParams
from ramie.linen.layers.recurrent.cells import GRUCell as GRUCell
from ramie.linen.layers.recurrent.cells import LSTMCell as LSTMCell
from ramie.linen.layers.recurrent.cells import MGUCell as MGUCell
from ramie.linen.layers.recurrent.cells import OptimizedLSTMCell as OptimizedLSTMCell
from ramie.linen.layers.recurrent.cells import SimpleCell as SimpleCell
from ramie.linen.layers.recurrent.sequence import RNN as RNN
from ramie.linen.layers.recurrent.sequence import Bidirectional as Bidirectional
from ramie.linen.layers.recurrent.sequence import RNNBase as RNNBase
from ramie.linen.machinery.methods import compact as compact
from ramie.linen.machinery.methods import nowrap as nowrap
from ramie.linen.module import Module as Module
from ramie.ops.dtypes import promote_dtype as promote_dtype
from ramie.ops.recurrent import flip_sequences as flip_sequences
from ramie.trees.frozen import FrozenDict as FrozenDict

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
