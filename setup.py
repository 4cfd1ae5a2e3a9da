"""The build, beside what pyproject.toml says: a wheel has the paths of Flax where tools look.

Files below ``compat/paths`` answer to paths such as ``ramie.linen.normalization`` when a program
runs. A type checker or an editor looks for a file of that name: a wheel has a copy there.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PATHS = Path("compat") / "paths"


def copies(package: Path) -> Iterator[tuple[Path, Path]]:
    """Yield what is copied, and where to, for a package ``ramie`` in this folder."""
    paths = package / PATHS
    for source in sorted((*paths.rglob("*.py"), *paths.rglob("*.pyi"))):
        target = package / source.relative_to(paths)
        if not target.exists():  # `__init__` files stand for rooms of that name, which have one
            yield source, target


class BuildWithPaths(build_py):
    """Copies the modules, and then the paths of Flax."""

    def run(self) -> None:
        """Build."""
        super().run()
        if not self.editable_mode:
            for source, target in list(copies(Path(self.build_lib) / "ramie")):
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithPaths})
