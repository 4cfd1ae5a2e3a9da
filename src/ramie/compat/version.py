"""The release of Flax whose behaviour Ramie answers with; importable as `flax.version`."""

__version__ = "0.12.12"
