"""Paths below `ramie.nnx`."""
