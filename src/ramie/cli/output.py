"""What commands print: tables for people, JSON for scripts, and a bar when it takes long."""

import json
import math
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = [
    "amount",
    "count",
    "duration",
    "print_facts",
    "print_json",
    "print_table",
    "time_span",
    "visible",
    "waiting",
    "working",
]

_PATIENCE = 1.0
_WIDE, _BAR, _GAP = 10_000, 12, 2
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_LARGE, _SMALL = ("", "k", "M", "G", "T", "P", "E"), ("s", "ms", "µs", "ns")


def visible(text: Any) -> str:
    """Return a text without characters that would control the terminal; files may hold any."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "replace").decode()
        for letter in str(text)
    )


def amount(nbytes: int, *, binary: bool = False) -> str:
    """Write a number of bytes as people do; in powers of 1024, as memory is made, if `binary`.

    Example:
      >>> amount(999), amount(1_250_000), amount(16 * 2**30, binary=True)
      ('999 B', '1.2 MB', '16.0 GiB')
    """
    base, units = (1024, _BINARY_UNITS) if binary else (1000, _UNITS)
    size, unit = float(nbytes), units[0]
    for unit in units:
        if size < base - 0.5 or unit == units[-1]:
            break
        size /= base
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def count(number: float) -> str:
    """Write a large number with three digits.

    Example:
      >>> count(12), count(70_553_706_496), count(999_999)
      ('12', '70.6 G', '1.00 M')
    """
    prefix = _LARGE[0]
    for prefix in _LARGE:
        if number < 999.5 or prefix == _LARGE[-1]:
            break
        number /= 1000
    return f"{_digits(number)} {prefix}" if prefix else f"{number:.0f}"


def time_span(seconds: float) -> str:
    """Write a short time with three digits.

    Example:
      >>> time_span(2.5), time_span(0.01234), time_span(0)
      ('2.50 s', '12.3 ms', '0 s')
    """
    if not seconds:
        return "0 s"
    unit = _SMALL[0]
    for unit in _SMALL:
        if seconds >= 0.9995 or unit == _SMALL[-1]:
            break
        seconds *= 1000
    return f"{_digits(seconds)} {unit}"


def _digits(number: float) -> str:
    places = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{places}f}"


def duration(seconds: float) -> str:
    """Write a length of time in its largest unit.

    Example:
      >>> duration(59), duration(7300), duration(200_000)
      ('59 s', '2 h', '2 d')
    """
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(int(seconds), 0)} s"


def print_json(page: Any) -> None:
    """Print a page of JSON; numbers that JSON lacks are the strings "nan", "inf" and "-inf"."""
    print(json.dumps(_plain(page), indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    right: Iterable[str] = (),
) -> None:
    """Print a table; on a terminal that is too narrow for it, a paragraph for each row.

    Args:
      columns: the heads; those without any content are left out.
      rows: the cells, one for each column.
      right: the columns whose content stands on the right.
    """
    from rich.console import Console
    from rich.text import Text

    cells = [[visible(cell) for cell in row] for row in rows]
    shown = [index for index in range(len(columns)) if any(row[index] for row in cells)]
    # What is piped to another program must not be broken at the width of a screen.
    width = None if sys.stdout.isatty() else _WIDE
    console = Console(file=sys.stdout, width=width, highlight=False, markup=False)
    names = [columns[index] for index in shown]
    cells = [[row[index] for index in shown] for row in cells]
    with console.capture() as printed:
        if _width(names, cells) <= console.width:
            console.print(_table(names, cells, set(right)))
        else:
            console.print(Text(_paragraphs(names, cells, console.width)), soft_wrap=True)
    sys.stdout.write(printed.get())  # not by rich, which ends the program where a pipe is closed


def print_facts(facts: Sequence[tuple[str, Any]]) -> None:
    """Print names and what they stand for, one a line."""
    longest = max(len(name) for name, _ in facts)
    for name, value in facts:
        print(f"{name.ljust(longest)}{' ' * _GAP}{visible(value)}")


def _width(names: list[str], cells: list[list[str]]) -> int:
    from rich.cells import cell_len

    widest = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
    return sum(widest) + _GAP * (len(widest) - 1)


def _table(names: list[str], cells: list[list[str]], right: set[str]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        side: Any = "right" if name in right else "left"
        table.add_column(name, justify=side, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def _paragraphs(names: list[str], cells: list[list[str]], width: int) -> str:
    """Write rows one below the other: the first cell, then the others with their heads."""
    lines = []
    for row in cells:
        line = row[0]
        for name, cell in zip(names[1:], row[1:], strict=True):
            text = f"{name} {cell}" if cell else ""
            if text and (line is row[0] or len(line) + _GAP + len(text) > width):
                lines.append(line)
                line = f"  {text}"
            elif text:
                line += f"{' ' * _GAP}{text}"
        lines.append(line)
    return "\n".join(lines)


class _Bar:
    """Shows how far a command is, once it has taken a second, if someone is looking."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = ("", 0, 0)
        self._bar: Any = None
        self._task: Any = None
        self._timer = threading.Timer(_PATIENCE, self._start)
        self._timer.daemon = True
        self._timer.start()

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        with self._lock:
            if self._timer is None:
                return
            columns = (
                BarColumn(bar_width=_BAR),
                DownloadColumn(),
                TimeElapsedColumn(),
                TextColumn("so far  {task.description}", markup=False),
            )
            self._bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
            self._task = self._bar.add_task("", total=None)
            self._bar.start()
        self(*self._state)

    def __call__(self, what: str, done: int, total: int) -> None:
        with self._lock:
            self._state = (what, done, total)
            if self._bar is not None:
                self._bar.update(
                    self._task, description=visible(what), completed=done, total=total or None
                )

    def stop(self) -> None:
        with self._lock:
            self._timer.cancel()
            self._timer = None  # type: ignore[assignment]
            if self._bar is not None:
                self._bar.stop()


@contextmanager
def waiting() -> Iterator[Any]:
    """Give a function to tell progress to: what is being done, how much is done, and of how much.

    Nothing is shown where the standard error goes to a file.
    """
    if not sys.stderr.isatty():
        yield None
        return
    bar = _Bar()
    try:
        yield bar
    finally:
        bar.stop()


@contextmanager
def working() -> Iterator[Callable[[str], None]]:
    """Give a function to say what is being done, which stands in a line with the time it takes.

    Nothing is shown where the standard error goes to a file.
    """
    if not sys.stderr.isatty():
        yield lambda what: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), text, TimeElapsedColumn(), TextColumn("so far"))
    console = Console(file=sys.stderr, markup=False)
    with Progress(*columns, console=console, transient=True) as line:
        task = line.add_task("", total=None)

        def say(what: str) -> None:
            line.reset(task, description=visible(what))

        yield say
