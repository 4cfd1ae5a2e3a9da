"""Pooling, under the names of ``flax.linen.pooling``."""

from ramie.linen.layers.pooling import avg_pool as avg_pool
from ramie.linen.layers.pooling import max_pool as max_pool
from ramie.linen.layers.pooling import min_pool as min_pool
from ramie.linen.layers.pooling import pool as pool

__all__ = [
    "avg_pool",
    "max_pool",
    "min_pool",
    "pool",
]
