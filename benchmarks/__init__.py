"""Measurements of Ramie against Flax and against raw JAX; `python -m benchmarks` runs them."""
