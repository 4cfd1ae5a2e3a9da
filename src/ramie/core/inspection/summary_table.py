"""How a summary becomes a table that fits.

A table that is narrower than its console looks as Rich draws it. If it is too wide, columns become
narrower as long as shapes and sizes stay whole. If that is not enough, what stood in columns goes
one below the other.
"""

import dataclasses
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ramie.core.inspection.summary_text import Line, as_rich, size_pieces
from ramie.foundation.terminals import Tables, shows_colours

__all__ = ["Summary", "draw", "wrapped"]

_WORD = re.compile(r"\s*(?:[\d,]+ \([\d,.]+ [KMG]?B\)|[^\s/]+/?|/)")
"""What is kept whole: a size with its bytes, a part of a path, anything else without spaces."""
_LEAD = re.compile(r"(?: |- )*")
_NAME = re.compile(r"[^\s:]+: ")
_LONGEST_WORD = 40  # longer ones are folded, so that one long text does not decide the layout
_LAID_OUT = {"width", "min_width", "max_width", "no_wrap", "overflow", "ratio"}

Cell = list[Line]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a table says.

    Attributes:
      title: stands above it.
      columns: the names of the columns that describe calls; the first two are the path and class.
      totals: for each further column, the elements and bytes of all its variables.
      rows: a cell for each column, as lines.
    """

    title: str
    columns: Sequence[str]
    totals: Mapping[str, tuple[int, int]]
    rows: Sequence[Sequence[Cell]]

    @property
    def headers(self) -> list[Cell]:
        """The names of all columns."""
        return [[[(name, "")]] for name in (*self.columns, *self.totals)]

    @property
    def footers(self) -> list[Cell]:
        """What stands below each column."""
        blank: list[Cell] = [[] for _ in self.columns[1:]]
        return [*blank, [[("Total", "")]], *([size_pieces(*x)] for x in self.totals.values())]

    def total(self, width: int) -> Cell:
        """Say how many elements there are, and of which kinds if there are several."""
        together = [sum(column) for column in zip((0, 0), *self.totals.values(), strict=True)]
        parts = [[("Total Parameters: ", ""), *size_pieces(together[0], together[1])]]
        kinds = [(name, size_pieces(*size)) for name, size in self.totals.items() if size[0]]
        for sign, (name, pieces) in zip("=" + "+" * len(kinds), kinds, strict=False):
            parts += [[(f"{sign} {name} ", ""), *pieces]] if len(kinds) > 1 else []
        lines = parts[:1]
        for part in parts[1:]:
            longer = [*lines[-1], (" ", ""), *part]
            lines[-1:] = [longer] if _width([longer]) <= width else [lines[-1], part]
        return wrapped(lines, width)


def draw(
    summary: Summary,
    console_kwargs: Mapping[str, Any] | None,
    table_kwargs: Mapping[str, Any] | None,
    column_kwargs: Mapping[str, Any] | None,
) -> str:
    """Write a table, as wide as its console at most.

    Args:
      summary: what it says.
      console_kwargs: arguments of `rich.console.Console`. Without `force_terminal` there are
        colours if the standard output shows them.
      table_kwargs: arguments of `rich.table.Table`. With a width of the user's, and with one in
        `column_kwargs`, Rich decides how cells are wrapped.
      column_kwargs: arguments of `rich.table.Column`, for all columns.
    """
    import rich.console

    table_kwargs, column_kwargs = dict(table_kwargs or {}), dict(column_kwargs or {})
    out = io.StringIO()
    coloured = Tables.always_coloured or shows_colours() or None
    defaults = {"force_terminal": coloured, "force_jupyter": False}
    console = rich.console.Console(file=out, **{**defaults, **(console_kwargs or {})})
    build = _Builder(summary, console, table_kwargs, column_kwargs)
    table, width = build.in_columns(lambda cell, _: cell)
    if width > console.width and not _LAID_OUT & {*table_kwargs, *column_kwargs}:
        table, width = build.fitted(width)
    if "caption" not in table_kwargs:
        total = summary.total(min(width, console.width))
        table.caption = as_rich([[], *total], "bold")
    console.print(table)
    return out.getvalue()


class _Builder:
    """Makes tables of one summary."""

    def __init__(
        self,
        summary: Summary,
        console: Any,
        table_kwargs: dict[str, Any],
        column_kwargs: dict[str, Any],
    ) -> None:
        self.summary, self.console, self.column_kwargs = summary, console, column_kwargs
        shows = {"show_header": True, "show_lines": True, "show_footer": True}
        self.table_kwargs = {**shows, "title": summary.title, **table_kwargs}

    def table(
        self,
        headers: Sequence[Cell],
        footers: Sequence[Cell],
        rows: Iterable[Sequence[Cell]],
        total_at: int,
    ) -> tuple[Any, int]:
        """Return a table of Rich and the width that it takes if it gets it."""
        import rich.table

        table = rich.table.Table(**self.table_kwargs)
        for place, (header, footer) in enumerate(zip(headers, footers, strict=True)):
            own = {"footer": as_rich(footer, justify="right" if place == total_at else None)}
            table.add_column(as_rich(header), **{**self.column_kwargs, **(own if footer else {})})
        for row in rows:
            table.add_row(*map(as_rich, row))
        options = self.console.options.update_width(10**5)
        return table, table.__rich_measure__(self.console, options).maximum

    def in_columns(self, shape: Callable[[Cell, int], Cell]) -> tuple[Any, int]:
        """Return a table with a column for each thing; `shape` fits a cell to its column."""
        summary = self.summary

        def shaped(cells: Sequence[Cell]) -> list[Cell]:
            return [shape(cell, place) for place, cell in enumerate(cells)]

        return self.table(
            shaped(summary.headers),
            shaped(summary.footers),
            map(shaped, summary.rows),
            len(summary.columns) - 1,
        )

    def fitted(self, width: int) -> tuple[Any, int]:
        """Return a table that is not wider than the console, given the width of one that is."""
        summary = self.summary
        columns = list(zip(summary.headers, *summary.rows, summary.footers, strict=True))
        natural = [max(map(_width, column)) for column in columns]
        least = [max(map(_least, column)) for column in columns]
        room = self.console.width - (width - sum(natural))
        if sum(least) <= room:
            widths = _shrunk(natural, least, room)
            return self.in_columns(lambda cell, place: wrapped(cell, widths[place]))
        return self.stacked()

    def stacked(self) -> tuple[Any, int]:
        """Return a table with a place on the left and all about it on the right, or below it."""
        summary = self.summary
        names = [*summary.columns[2:], *summary.totals]
        rows = summary.rows
        about = [_labelled(names, row[2:]) for row in rows]
        places = [[line for line in (*path, *kind) if _width([line])] for path, kind, *_ in rows]
        total = _labelled(list(summary.totals), summary.footers[len(summary.columns) :])
        title = [[(", ".join(names), "")]]
        pairs = [
            ([[("path", "")]], title),
            *zip(places, about, strict=True),
            ([[("Total", "")]], total),
        ]
        left, right = ([pair[side] for pair in pairs] for side in (0, 1))
        _, width = self.table(*_parted(pairs), total_at=0)
        border = width - max(map(_width, left)) - max(map(_width, right))
        narrow = max(map(_least, left))
        room = self.console.width - border - narrow
        if room >= max(map(_least, right)):
            pairs = [(wrapped(a, narrow), wrapped(b, room)) for a, b in pairs]
            return self.table(*_parted(pairs), total_at=0)
        single = [([*a, *_indented(b)],) for a, b in pairs]
        _, width = self.table(*_parted(single), total_at=-1)
        border = width - max(_width(cell) for (cell,) in single)
        single = [(wrapped(cell, max(1, self.console.width - border)),) for (cell,) in single]
        return self.table(*_parted(single), total_at=-1)


def _parted(rows: Sequence[Sequence[Cell]]) -> tuple[Any, Any, Any]:
    """Return the header, the footer, and what is between."""
    return rows[0], rows[-1], rows[1:-1]


def _labelled(names: Sequence[str], cells: Sequence[Cell]) -> Cell:
    """Write cells one below the other, each after its name; empty ones are left out."""
    lines: Cell = []
    for name, cell in zip(names, cells, strict=True):
        filled = [line for line in cell if line]
        if len(filled) == 1:
            lines.append([(f"{name}: ", ""), *filled[0]])
        elif filled:
            lines += [[(f"{name}:", "")], *_indented(filled)]
    return lines


def _indented(lines: Iterable[Line]) -> Cell:
    return [[("  ", ""), *line] for line in lines]


def _shrunk(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Make the widest columns narrower until all fit, none below its least width."""
    widths = list(natural)
    while sum(widths) > room:
        above = [i for i, width in enumerate(widths) if width > least[i]]
        widths[max(above, key=widths.__getitem__)] -= 1
    return widths


# --- lines --------------------------------------------------------------------------------------


def wrapped(cell: Cell, width: int) -> Cell:
    """Break lines that are wider than a column, between words if those fit.

    Args:
      cell: the lines.
      width: of the column. What goes on in a further line is indented, except in a narrow column.

    Example:
      >>> from ramie.core.inspection.summary_table import wrapped
      >>> lines = wrapped([[("kernel: float32[3,4]", "")]], 16)
      >>> ["".join(text for text, _ in line) for line in lines]
      ['kernel:', '  float32[3,4]']
    """
    return [part for line in cell for part in _broken(line, width)]


def _broken(line: Line, width: int) -> list[Line]:
    text = "".join(piece for piece, _ in line)
    indent = _deeper(text) if _least([line]) <= width else 0
    parts: list[Line] = []
    start, room = 0, width
    while _cells(text[start:]) > room:
        end = _end(text, start, room)
        parts.append(_between(line, start, end))
        start = end + len(text[end:]) - len(text[end:].lstrip())
        room = max(1, width - indent)
    rest = _between(line, start, len(text))
    parts += [rest] if rest or not parts else []
    first, *others = parts
    return [first, *([(" " * indent, ""), *part] if indent else part for part in others)]


def _end(text: str, start: int, room: int) -> int:
    """Return where a line ends: after a word, else after a comma, else where the room ends."""
    words = [word.end() for word in _WORD.finditer(text, start)]
    fitting = [end for end in words if _cells(text[start:end]) <= room]
    if fitting:
        return fitting[-1]
    anywhere = start + 1
    while anywhere < len(text) and _cells(text[start : anywhere + 1]) <= room:
        anywhere += 1
    mark = max(text.rfind(",", start, anywhere), text.rfind("[", start, anywhere))
    return mark + 1 if mark > start else anywhere


def _between(line: Line, start: int, end: int) -> Line:
    """Return what is between two places of a line."""
    pieces, at = [], 0
    for text, style in line:
        part = text[max(0, start - at) : max(0, end - at)]
        at += len(text)
        if part:
            pieces.append((part, style))
    return pieces


def _deeper(text: str) -> int:
    """Return by how much a further line is indented: beyond its name if it has one."""
    lead = _LEAD.match(text)
    at = lead.end() if lead else 0
    return at + (2 if _NAME.match(text, at) else 0)


def _least(cell: Cell) -> int:
    """Return how wide a column is at least in which all words of a cell are whole."""
    least = 1
    for text in ("".join(piece for piece, _ in line) for line in cell):
        first, *others = [word.group() for word in _WORD.finditer(text)] or [""]
        more = [_deeper(text) + min(_cells(word.lstrip()), _LONGEST_WORD) for word in others]
        least = max(least, min(_cells(first), _LONGEST_WORD), *more, 1)
    return least


def _width(cell: Cell) -> int:
    """Return the width of the longest line."""
    return max((_cells("".join(piece for piece, _ in line)) for line in cell), default=0)


def _cells(text: str) -> int:
    """Return how much room a text takes: letters of some scripts take two places."""
    from rich.cells import cell_len

    return cell_len(text)
