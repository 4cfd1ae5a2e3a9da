"""The version of Ramie."""

__version__ = "0.1.0"
