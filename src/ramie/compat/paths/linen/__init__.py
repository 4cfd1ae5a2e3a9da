"""Paths below `ramie.linen`."""
