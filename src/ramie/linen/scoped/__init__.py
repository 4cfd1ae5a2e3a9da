"""Layers as functions of a scope, for code that uses `ramie.core` without modules.

Reached as ``ramie.core.nn``: layers need `ops` as well as `core`, which does not import it.
"""

from ramie.linen import activation as activation
from ramie.linen import initializers as initializers
from ramie.linen.activation import celu as celu
from ramie.linen.activation import elu as elu
from ramie.linen.activation import gelu as gelu
from ramie.linen.activation import glu as glu
from ramie.linen.activation import leaky_relu as leaky_relu
from ramie.linen.activation import log_sigmoid as log_sigmoid
from ramie.linen.activation import log_softmax as log_softmax
from ramie.linen.activation import relu as relu
from ramie.linen.activation import sigmoid as sigmoid
from ramie.linen.activation import silu as silu
from ramie.linen.activation import soft_sign as soft_sign
from ramie.linen.activation import softmax as softmax
from ramie.linen.activation import softplus as softplus
from ramie.linen.activation import swish as swish
from ramie.linen.activation import tanh as tanh
from ramie.linen.scoped import attention as attention
from ramie.linen.scoped import linear as linear
from ramie.linen.scoped import normalization as normalization
from ramie.linen.scoped import stochastic as stochastic
from ramie.linen.scoped.attention import dot_product_attention as dot_product_attention
from ramie.linen.scoped.attention import (
    multi_head_dot_product_attention as multi_head_dot_product_attention,
)
from ramie.linen.scoped.linear import Embedding as Embedding
from ramie.linen.scoped.linear import conv as conv
from ramie.linen.scoped.linear import conv_transpose as conv_transpose
from ramie.linen.scoped.linear import dense as dense
from ramie.linen.scoped.linear import dense_general as dense_general
from ramie.linen.scoped.linear import embedding as embedding
from ramie.linen.scoped.normalization import batch_norm as batch_norm
from ramie.linen.scoped.normalization import group_norm as group_norm
from ramie.linen.scoped.normalization import layer_norm as layer_norm
from ramie.linen.scoped.stochastic import dropout as dropout
from ramie.ops.pooling import avg_pool as avg_pool
from ramie.ops.pooling import max_pool as max_pool

__all__ = [
    "Embedding",
    "activation",
    "attention",
    "avg_pool",
    "batch_norm",
    "celu",
    "conv",
    "conv_transpose",
    "dense",
    "dense_general",
    "dot_product_attention",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "glu",
    "group_norm",
    "initializers",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "max_pool",
    "multi_head_dot_product_attention",
    "normalization",
    "relu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "stochastic",
    "swish",
    "tanh",
]
