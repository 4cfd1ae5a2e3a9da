"""Package metadata for `flax`, for code that asks which version is installed."""

from collections.abc import Iterator
from importlib.metadata import Distribution, DistributionFinder
from os import PathLike
from pathlib import Path
from typing import Any

import ramie
from ramie.compat.version import __version__ as peer_version

_FILES = {
    "METADATA": (
        "Metadata-Version: 2.1\nName: flax\n"
        f"Version: {peer_version}\nSummary: Ramie answering as Flax\n"
    ),
    "top_level.txt": "flax\n",
}


class AliasDistribution(Distribution):
    """An installed distribution that exists only while the aliases do."""

    def read_text(self, filename: str) -> str | None:
        """Return the text of a metadata file, or None when there is no such file."""
        return _FILES.get(filename)

    def locate_file(self, path: str | PathLike[str]) -> Any:
        """Return where a file of the distribution would be: beside Ramie's own package."""
        return Path(ramie.__path__[0]).parent / path


def find_distributions(context: DistributionFinder.Context) -> Iterator[Distribution]:
    """Yield the alias when a search asks for `flax` or for everything."""
    if context.name is None or context.name.lower() == "flax":
        yield AliasDistribution()
