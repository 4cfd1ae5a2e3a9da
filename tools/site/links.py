"""Links: names in backticks and in code lead to the reference, paths of the repository to pages."""

import ast
import os
import posixpath
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "ROOT",
    "Target",
    "Targets",
    "anchor_of",
    "code_names",
    "imported",
    "joined",
    "linked",
    "linked_code",
    "moved",
    "relative",
]

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^( *)(```+|~~~+)[^\n]*\n.*?^\1\2[ ]*$\n?", re.M | re.S)
_PYTHON = re.compile(r"^( *)```python\n(.*?)^\1```", re.M | re.S)
_SHOWN = re.compile(r'<div class="language-python highlight">.*?</div>', re.S)
_DOT = '<span class="o">.</span>'
_TOKEN = r'<span class="n\w?">@?\w+</span>'
_TOKENS = re.compile(rf"(?<!{re.escape(_DOT)}){_TOKEN}(?:{re.escape(_DOT)}{_TOKEN})*")
_HEADING = re.compile(r"^#{1,6} .*$", re.M)
_LINK = r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\([^)\s]*\)|<a\b.*?</a>"
_SPAN = re.compile(rf"(?P<link>{_LINK})|(?<!`)`(?P<code>[^`\n]+)`(?!`)", re.S)
_NAME = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?:\(.*\))?", re.S)
_PATH = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()(?![a-z]+:|#)([^)\s#]*)(#[^)\s]*)?(\))")
_DOTTED = re.compile(r"(?<![\w.])(?:ramie\.)?([a-z_]+(?:\.\w+)+)")
# How programs call the rooms.
_ALIASES = {"nn": "linen", "bridge": "nnx.bridge", "initializers": "ops.initializers"}
_ALIASES |= {
    module: f"training.{module}"
    for module in (
        "checkpoints",
        "common_utils",
        "dynamic_scale",
        "early_stopping",
        "lr_schedule",
        "orbax_utils",
        "prefetch_iterator",
        "processes",
        "train_state",
    )
}
_TYPING = {"Any", "Callable", "Dict", "List"}  # alone these are types, not filters and modules
_ROOMS = ("linen", "training", "checkpoint", "errors", "nnx")


def anchor_of(address: str) -> str:
    """Return the anchor of a name; Markdown would take two underscores for emphasis."""
    return re.sub(r"__(\w+?)__", r"\1", address)


class Target(NamedTuple):
    """Where a name is described: a page, from the top of the site, and the anchor there, if any."""

    page: str
    anchor: str


class Targets:
    """All names that can be linked to.

    Args:
      anchors: for each address, such as ``nnx.Linear.__call__``, its page.
      whole: addresses that have a page of their own.
    """

    def __init__(self, anchors: Mapping[str, str], whole: Mapping[str, str] | None = None) -> None:
        self._anchors = anchors
        self._whole = whole or {}
        self._short: dict[str, list[str]] = {}
        for address in (*anchors, *self._whole):
            room, _, short = address.rpartition(".")
            if room and not room[room.rfind(".") + 1].isupper():  # no members of classes
                self._short.setdefault(short, []).append(address)

    def at(self, address: str) -> Target | None:
        """Return where a whole address leads, such as ``nnx.Linear``."""
        if address in self._whole:
            return Target(self._whole[address], "")
        page = self._anchors.get(anchor_of(address))
        return Target(page, anchor_of(address)) if page else None

    def find(self, text: str, room: str = "") -> Target | None:
        """Find what a piece of code names, a call with its arguments included.

        Args:
          text: the code, such as ``nn.Dense(3)``.
          room: where a name without a room is looked for first.
        """
        found = _NAME.fullmatch(text)
        if not found:
            return None
        name = found["name"].removeprefix("ramie.").rstrip(".")
        first, dot, rest = name.partition(".")
        inside = self.at(f"{room}.{name}") if room and name not in _TYPING else None
        whole = self.at(name) or self.at(f"{_ALIASES.get(first, first)}{dot}{rest}")
        if whole or inside or dot:
            return whole or inside
        return self._alone(name, room)

    def _alone(self, name: str, room: str) -> Target | None:
        """Find a name without a room, where it cannot be a word or a variable."""
        if "_" not in name.strip("_") and not re.search(r"[a-z][A-Z]|^[A-Z][a-z]+$", name):
            return None
        there = self._short.get(name, []) if name not in _TYPING else []
        for wanted in (room, *_ROOMS):
            for address in there:
                if wanted and address.startswith(f"{wanted}."):
                    return self.at(address)
        return self.at(there[0]) if len(there) == 1 else None


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Divide into what is prose, and what is code or a heading."""
    place = 0
    kept = sorted([*_FENCE.finditer(text), *_HEADING.finditer(text)], key=lambda m: m.start())
    for found in kept:
        if found.start() < place:
            continue  # a comment within code
        yield True, text[place : found.start()]
        yield False, found[0]
        place = found.end()
    yield True, text[place:]


def relative(page: str, target: str) -> str:
    """Return the way from one page to another, both from the top of the site."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


def joined(page: str, target: str) -> str:
    """Return where a relative link of a page leads, from the top of the site."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def linked(text: str, page: str, targets: Targets, room: str = "") -> str:
    """Link names in backticks to where they are described.

    Args:
      text: Markdown.
      page: the page that it is on; it does not link to places where it stands itself.
      targets: what there is.
      room: where names without a room are looked for first.
    """

    def link(found: re.Match[str]) -> str:
        target = targets.find(found["code"], room) if found["code"] else None
        if target is None or (target.page == page and not target.anchor):
            return found[0]
        anchor = f"#{target.anchor}" if target.anchor else ""
        return f"[{found[0]}]({relative(page, target.page)}{anchor})"

    return "".join(
        _SPAN.sub(link, piece) if is_prose else piece for is_prose, piece in _pieces(text)
    )


def moved(text: str, source: Path, page: str, place: Callable[[Path], str | None]) -> str:
    """Let relative links of a file of the repository lead to the pages of the site.

    Args:
      text: Markdown.
      source: the file that it is from.
      page: the page that it becomes.
      place: the page of a file or folder; None where it has none.
    """

    def move(found: re.Match[str]) -> str:
        path = Path(os.path.normpath(source.parent / found[2]))
        target = place(path)
        if target is None:
            return found[0]
        return f"{found[1]}{relative(page, target)}{found[3] or ''}{found[4]}"

    return "".join(
        _PATH.sub(move, piece) if is_prose else piece for is_prose, piece in _pieces(text)
    )


def code_names(text: str, targets: Targets) -> set[str]:
    """Return the addresses of names that a page mentions with their room, in code or prose."""
    found = (targets.find(name) for name in set(_DOTTED.findall(text)))
    return {target.anchor for target in found if target and target.anchor}


def imported(text: str) -> dict[str, str]:
    """Return what the Python code of a page imports from Ramie: names, and their addresses.

    Args:
      text: Markdown.

    Example:
      >>> imported("```python\\nimport ramie.linen as nn\\nfrom ramie import checkpoint\\n```")
      {'nn': 'linen', 'checkpoint': 'checkpoint'}
    """
    found: dict[str, str] = {}
    for _, code in _PYTHON.findall(text):
        try:
            nodes = list(ast.walk(ast.parse(textwrap.dedent(code))))
        except SyntaxError:
            continue  # what a page shows as a mistake
        for node in nodes:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            home = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for name in node.names:
                bound = name.asname or name.name.partition(".")[0]
                address = home + (name.name if name.asname or home else bound)
                is_other = found.setdefault(bound, address) != address
                found[bound] = "" if is_other else address  # what two imports bind is left alone
    ours = {name: address.partition(".") for name, address in found.items()}
    return {name: rest for name, (first, _, rest) in ours.items() if first == "ramie" and rest}


def linked_code(html: str, page: str, targets: Targets, names: Mapping[str, str]) -> str:
    """Link names in the Python code of a finished page; the text stays as it is.

    Args:
      html: the page.
      page: its place as Markdown, such as ``guides/basics.md``.
      targets: what there is.
      names: what the code imports; see `imported`.
    """

    def link(found: re.Match[str]) -> str:
        spans = found[0].split(_DOT)
        first, *rest = (re.sub(r"<[^>]*>|@", "", span) for span in spans)
        if first not in names:
            return found[0]
        for count in range(len(spans), 0, -1):
            target = targets.at(".".join([names[first], *rest[: count - 1]]))
            if target:
                place = relative(page, re.sub(r"\.md$", ".html", target.page))
                anchor = f"#{target.anchor}" if target.anchor else ""
                inside = _DOT.join(spans[:count])
                named = f'<a class="named" href="{place}{anchor}">{inside}</a>'
                return _DOT.join([named, *spans[count:]])
        return found[0]

    return _SHOWN.sub(lambda block: _TOKENS.sub(link, block[0]), html)
