"""Tools for testing models."""

from ramie.metrics import benchmark as benchmark
from ramie.metrics.benchmark import Benchmark as Benchmark

__all__ = ["Benchmark", "benchmark"]
