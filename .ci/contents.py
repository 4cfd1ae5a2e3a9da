"""Checks that a wheel and a source distribution hold what they must, and nothing else.

contents.py WHEEL SDIST
"""

import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

SOURCES = Path("src")
KINDS = {".py", ".pyi", ".typed"}


def main(wheel: str, sdist: str) -> None:
    """Compare both with the sources, and look at what the wheel says of itself."""
    wanted = {
        str(path.relative_to(SOURCES))
        for path in (SOURCES / "ramie").rglob("*")
        if path.suffix in KINDS or path.name == "py.typed"
    }
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = next(name for name in names if name.endswith(".dist-info/METADATA"))
        told = message_from_bytes(archive.read(info))
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    problems = [f"{wheel} lacks {name}" for name in sorted(wanted - set(names))]
    problems += [f"{sdist} lacks src/{n}" for n in sorted(wanted) if f"src/{n}" not in packed]
    problems += [
        f"{wheel} holds {name}"
        for name in names
        if not name.startswith(("ramie/", "ramie-")) or "__pycache__" in name
    ]
    problems += [
        f"{sdist} lacks {name}"
        for name in ("LICENSE", "README.md", "pyproject.toml")
        if name not in packed
    ]
    if told["Description-Content-Type"] != "text/markdown" or not told.get_payload():
        problems.append(f"{wheel} has no description")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main(*sys.argv[1:])
