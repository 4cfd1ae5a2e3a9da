"""Pooling: functions without parameters, the same in every style of module."""

from ramie.ops.pooling import avg_pool as avg_pool
from ramie.ops.pooling import max_pool as max_pool
from ramie.ops.pooling import min_pool as min_pool
from ramie.ops.pooling import pool as pool

__all__ = ["avg_pool", "max_pool", "min_pool", "pool"]
