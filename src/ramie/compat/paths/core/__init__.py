"""Paths below `ramie.core`."""
