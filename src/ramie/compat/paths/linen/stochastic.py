"""Layers that draw random numbers, under the names of ``flax.linen.stochastic``."""

from ramie.linen.layers.stochastic import Dropout as Dropout
from ramie.linen.module import Module as Module
from ramie.linen.module import compact as compact
from ramie.linen.module import merge_param as merge_param

__all__ = [
    "Dropout",
]
