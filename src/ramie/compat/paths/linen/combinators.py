"""Modules made of modules, under the names of ``flax.linen.combinators``."""

from ramie.linen.layers.combinators import Sequential as Sequential
from ramie.linen.module import Module as Module
from ramie.linen.module import compact as compact

__all__ = [
    "Sequential",
]
