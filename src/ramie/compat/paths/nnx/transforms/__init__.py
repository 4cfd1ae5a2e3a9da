"""Paths below `ramie.nnx.transforms`."""
