"""The checkpoint engine: saves that are wholly there or not there, and restores that check."""

from ramie.checkpoint.health import Health as Health
from ramie.checkpoint.health import verify as verify
from ramie.checkpoint.reader import available_steps as available_steps
from ramie.checkpoint.reader import latest as latest
from ramie.checkpoint.reader import newest_intact as newest_intact
from ramie.checkpoint.reader import restore as restore
from ramie.checkpoint.writer import save as save

__all__ = ["Health", "available_steps", "latest", "newest_intact", "restore", "save", "verify"]
