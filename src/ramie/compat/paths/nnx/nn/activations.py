"""Activation functions, under the names of ``flax.nnx.nn.activations``."""

from jax.nn import identity as identity

from ramie.nnx.layers.activations import PReLU as PReLU
from ramie.ops.activations import celu as celu
from ramie.ops.activations import elu as elu
from ramie.ops.activations import gelu as gelu
from ramie.ops.activations import glu as glu
from ramie.ops.activations import hard_sigmoid as hard_sigmoid
from ramie.ops.activations import hard_silu as hard_silu
from ramie.ops.activations import hard_swish as hard_swish
from ramie.ops.activations import hard_tanh as hard_tanh
from ramie.ops.activations import leaky_relu as leaky_relu
from ramie.ops.activations import log_sigmoid as log_sigmoid
from ramie.ops.activations import log_softmax as log_softmax
from ramie.ops.activations import logsumexp as logsumexp
from ramie.ops.activations import one_hot as one_hot
from ramie.ops.activations import relu as relu
from ramie.ops.activations import relu6 as relu6
from ramie.ops.activations import selu as selu
from ramie.ops.activations import sigmoid as sigmoid
from ramie.ops.activations import silu as silu
from ramie.ops.activations import soft_sign as soft_sign
from ramie.ops.activations import softmax as softmax
from ramie.ops.activations import softplus as softplus
from ramie.ops.activations import standardize as standardize
from ramie.ops.activations import swish as swish
from ramie.ops.activations import tanh as tanh

__all__ = [
    "PReLU",
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "one_hot",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "standardize",
    "swish",
    "tanh",
]
