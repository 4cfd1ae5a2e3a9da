"""Paths below `ramie.nnx.bridge`."""
