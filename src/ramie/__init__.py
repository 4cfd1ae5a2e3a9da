"""Ramie: the Flax programming model for JAX, on one small core."""

from ramie.version import __version__ as __version__

__all__ = ["__version__"]
