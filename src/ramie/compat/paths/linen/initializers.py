"""Initializers for parameters, under the names of ``flax.linen.initializers``."""

from ramie.ops.initializers import Initializer as Initializer
from ramie.ops.initializers import constant as constant
from ramie.ops.initializers import delta_orthogonal as delta_orthogonal
from ramie.ops.initializers import glorot_normal as glorot_normal
from ramie.ops.initializers import glorot_uniform as glorot_uniform
from ramie.ops.initializers import he_normal as he_normal
from ramie.ops.initializers import he_uniform as he_uniform
from ramie.ops.initializers import kaiming_normal as kaiming_normal
from ramie.ops.initializers import kaiming_uniform as kaiming_uniform
from ramie.ops.initializers import lecun_normal as lecun_normal
from ramie.ops.initializers import lecun_uniform as lecun_uniform
from ramie.ops.initializers import normal as normal
from ramie.ops.initializers import ones as ones
from ramie.ops.initializers import ones_init as ones_init
from ramie.ops.initializers import orthogonal as orthogonal
from ramie.ops.initializers import truncated_normal as truncated_normal
from ramie.ops.initializers import uniform as uniform
from ramie.ops.initializers import variance_scaling as variance_scaling
from ramie.ops.initializers import xavier_normal as xavier_normal
from ramie.ops.initializers import xavier_uniform as xavier_uniform
from ramie.ops.initializers import zeros as zeros
from ramie.ops.initializers import zeros_init as zeros_init

__all__ = [
    "Initializer",
    "constant",
    "delta_orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "ones_init",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
    "zeros_init",
]
