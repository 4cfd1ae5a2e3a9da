"""Tools for testing models."""

from ramie.testing import benchmark as benchmark
from ramie.testing.benchmark import Benchmark as Benchmark

__all__ = ["Benchmark", "benchmark"]
