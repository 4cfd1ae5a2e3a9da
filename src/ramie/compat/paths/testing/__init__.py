"""Tools for testing models."""

from ramie.metrics import benchmark as benchmark
from ramie.metrics.benchmark import Benchmark as Benchmark
from ramie.training import processes as processes

__all__ = ["Benchmark", "benchmark", "processes"]
