"""What every committed file has to be like: ``python -m tests.layout.committed FILE ...``.

Says what is wrong with the files, and ends with 1 if anything is. The hooks of pre-commit call it.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

LONGEST_FILE = 600
"""Lines of Python that can be read in one sitting."""

LARGEST_FILE = 256 * 1024
"""Bytes. What is larger is data, and is made or fetched when it is needed."""

HARD_BREAK = re.compile(rb"\S  $")  # in Markdown
CONFLICT = re.compile(rb"<{7} |>{7} |\|{7} ")


def faults(path: Path) -> Iterator[str]:
    """Yield what is wrong with a file, each with the line where that helps."""
    content = path.read_bytes()
    if len(content) > LARGEST_FILE:
        yield f"has {len(content)} bytes, more than {LARGEST_FILE}"
    if b"\0" in content:
        return  # no text
    lines = content.split(b"\n")
    if path.suffix == ".py" and len(lines) - 1 > LONGEST_FILE:
        yield f"has {len(lines) - 1} lines, more than {LONGEST_FILE}: divide it by subject"
    if content and (lines[-1] or content.endswith(b"\n\n") or content == b"\n"):
        yield "has to end with one line feed"
    for number, line in enumerate(lines, 1):
        if b"\r" in line:
            yield f"line {number}: a carriage return; lines end with a line feed alone"
        elif line != line.rstrip() and not (path.suffix == ".md" and HARD_BREAK.search(line)):
            yield f"line {number}: white space at its end"
        if CONFLICT.match(line):
            yield f"line {number}: a merge was not finished"


def main(names: Iterable[str]) -> int:
    """Report on files, and return the exit status."""
    found = [f"{name}: {fault}" for name in names for fault in faults(Path(name))]
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
