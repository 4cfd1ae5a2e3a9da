"""Lines of the user's code in the text of a compiled program."""

import os
import re
import sysconfig
from pathlib import Path

__all__ = ["Sources", "is_library", "relative"]

_ROW = re.compile(r"^(\d+) (?:\"(.*)\"|\{(.*)\})$")
_TABLES = ("FileNames", "FunctionNames", "FileLocations", "StackFrames")
_PACKAGE = str(Path(__file__).parents[2]) + os.sep
_STANDARD = sysconfig.get_path("stdlib") + os.sep


def is_library(filename: str) -> bool:
    """Tell whether a file is part of Ramie, of Python, or of what was installed.

    Example:
        >>> is_library(__file__), is_library("<string>"), is_library("model.py")
        (True, True, False)
    """
    if filename.startswith((_PACKAGE, _STANDARD, "<")):
        return True
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(filename).parts)


def relative(filename: str) -> str:
    """Return a path from where one is, if it does not lead upwards."""
    found = os.path.relpath(filename)
    return filename if found.startswith("..") else found


class Sources:
    """The tables of files, lines and calls that stand above a program.

    Each call knows the one that it was made from, as in a traceback.

    Args:
      text: of the program.

    Example:
        >>> sources = Sources('''FileNames
        ... 1 "model.py"
        ...
        ... FileLocations
        ... 1 {file_name_id=1 function_name_id=1 line=7 end_line=7 column=1 end_column=2}
        ...
        ... StackFrames
        ... 1 {file_location_id=1 parent_frame_id=1}
        ... ''')
        >>> sources.line(1)
        'model.py:7'
    """

    def __init__(self, text: str) -> None:
        tables: dict[str, dict[int, str]] = {name: {} for name in _TABLES}
        table: dict[int, str] | None = None
        for line in text.splitlines():
            if line in tables:
                table = tables[line]
            elif not line:
                table = None
            elif table is not None and (row := _ROW.match(line)):
                table[int(row.group(1))] = row.group(2) or row.group(3) or ""
            elif line.startswith(("%", "ENTRY")):
                break  # the first computation
        self._files = tables["FileNames"]
        self._lines = {key: _numbers(row) for key, row in tables["FileLocations"].items()}
        self._frames = {key: _numbers(row) for key, row in tables["StackFrames"].items()}
        # The outermost call has no parent. XLA writes 0 for that, or 1 and counts on from there.
        self._shift = self._frames.get(1, {}).get("parent_frame_id", 0)

    def line(self, frame: int) -> str:
        """Return the innermost line of the user's code in a stack of calls, ``model.py:12``.

        Args:
          frame: the number of the innermost call.

        Returns:
          The file, from where one is, and the line; nothing where there is none.
        """
        while found := self._frames.get(frame):
            place = self._lines.get(found.get("file_location_id", 0), {})
            file = self._files.get(place.get("file_name_id", 0), "")
            if file and not is_library(file):
                return f"{relative(file)}:{place['line']}"
            parent = found.get("parent_frame_id", 0) - self._shift
            if parent >= frame:
                break  # no stack that this knows how to read
            frame = parent
        return ""


def _numbers(row: str) -> dict[str, int]:
    return {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)", row)}
