"""Docstrings as Markdown: sections, examples, and what differs from Flax."""

import re
import textwrap
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Section", "markdown", "sections"]

_TITLES = ("Args", "Attributes", "Returns", "Yields", "Raises", "Warns", "Example", "Reference")
_HEAD = re.compile(rf"({'|'.join(_TITLES)}):$")
_ITEM = re.compile(r"([*\w.`][\w.*`]*(?:, [*\w.`][\w.*`]*)*)(?: \(([^)]*)\))?:(?: |$)(.*)")
_LISTS = {"Args": "Arguments", "Attributes": "Attributes", "Raises": "Raises", "Warns": "Warns"}


class Section(NamedTuple):
    """A section of a docstring; text at the margin has no title."""

    title: str
    text: str


def sections(text: str) -> list[Section]:
    """Divide a docstring, whose indentation is taken away already."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            found.append((head[1], []))
        elif found[-1][0] and line[:1].strip():  # back at the margin
            found.append(("", [line]))
        else:
            found[-1][1].append(line)
    pieces = [(title, textwrap.dedent("\n".join(lines)).strip("\n")) for title, lines in found]
    return [Section(title, piece) for title, piece in pieces if piece.strip()]


def _fenced(lines: list[str]) -> str:
    text = textwrap.dedent("\n".join(lines)).strip("\n")
    language = "pycon" if text.startswith(">>>") else "python"
    return f"```{language}\n{text}\n```"


def prose(text: str) -> str:
    """Turn paragraphs, literal blocks and examples into Markdown."""
    text = re.sub(r":math:`(?:\\mathrm\{(\w+)\}`)?", lambda m: f"`{m[1]}`" if m[1] else "`", text)
    text = text.replace("``", "`")
    parts: list[str] = []
    code: list[str] = []
    literal = False
    for block in [*_blocks(text), []]:
        inside = bool(block) and literal and block[0].startswith("    ")
        if inside or (block and block[0].lstrip().startswith(">>>")):
            code += [*([""] if code else []), *block]
            continue
        if code:
            parts.append(_fenced(code))
            code = []
        if block:
            paragraph = textwrap.dedent("\n".join(block))
            literal = paragraph.endswith("::")
            parts.append(_remark(paragraph[:-1] if literal else paragraph))
    return "\n\n".join(parts)


def _remark(paragraph: str) -> str:
    """Set off what differs from Flax."""
    if not paragraph.startswith("Differs from Flax"):
        return paragraph
    text = re.sub(r"^Differs from Flax:\s+(.)", lambda found: found[1].upper(), paragraph)
    return f'!!! note "Differs from Flax"\n\n{textwrap.indent(text, "    ")}'


def _blocks(text: str) -> list[list[str]]:
    """Divide lines at blank ones, and where an example begins."""
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        begins = line.lstrip().startswith(">>>") and not any(
            before.lstrip().startswith(">>>") for before in found[-1]
        )
        if not line.strip() or (begins and found[-1]):
            found.append([])
        if line.strip():
            found[-1].append(line)
    return [block for block in found if block]


def items(text: str) -> list[tuple[str, str, str]]:
    """Return name, type and description of each entry of a list of arguments or errors."""
    found: list[list[str]] = []
    for line in text.splitlines():
        head = _ITEM.match(line)
        if head and not line.startswith(" "):
            found.append([head[1].replace("`", ""), head[2] or "", head[3]])
        elif found:
            found[-1][2] += f"\n{line}"
    return [(name, kind, _described(text)) for name, kind, text in found]


def _described(text: str) -> str:
    first, _, rest = text.partition("\n")
    return f"{first}\n{textwrap.dedent(rest)}".strip()


def _list(title: str, text: str, types: Mapping[str, str]) -> str:
    lines = []
    for names, kind, described in items(text):
        shown = ", ".join(f"`{name}`" for name in names.split(", "))
        kind = kind or types.get(names.lstrip("*"), "")
        typed = f" (`{kind}`)" if kind and title != "Raises" else ""
        body = textwrap.indent(prose(described), "    ").lstrip(" ")
        lines.append(f"- **{shown}**{typed}: {body}" if body else f"- **{shown}**{typed}")
    return "\n\n".join([f"**{title}**", *(lines or [prose(text)])])


def _example(text: str) -> str:
    code = prose(text) if ">>>" in text else _fenced(text.splitlines())
    return f"**Example**\n\n{code}"


def markdown(text: str, types: Mapping[str, str]) -> str:
    """Return a docstring as Markdown.

    Args:
      text: the docstring.
      types: the types of arguments and attributes, as they are written.
    """
    parts = []
    for title, body in sections(text):
        if title in _LISTS:
            parts.append(_list(_LISTS[title], body, types))
        elif title == "Example":
            parts.append(_example(body))
        else:
            parts.append(f"**{title}**\n\n{prose(body)}" if title else prose(body))
    return "\n\n".join(parts)
