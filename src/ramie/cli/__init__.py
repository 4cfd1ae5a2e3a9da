"""The `ramie` command; each subcommand reads its arguments and calls one public function."""

from ramie.cli.main import main as main

__all__ = ["main"]
